"""Another worker's connection is gone: give its deliveries back, so that they are redelivered now, not after ack_wait."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from inference.domain.peers import PeerClaims

logger = structlog.get_logger()

SPREAD = 0.05
"""Seconds over which the survivors spread, so that the first one does it and the others see it done."""


async def free_dead_runs(
    claims: PeerClaims,
    worker: str,
    nak: Callable[[str], Awaitable[None]],
    *,
    choose: Callable[[], float] = random.random,
) -> int:
    """Nak what `worker` still holds; how many. A false alarm is harmless: whoever takes a run asks its holder first."""
    claims.lose(worker)
    held = claims.of(worker)
    if not held:
        return 0
    await asyncio.sleep(choose() * SPREAD)
    freed = 0
    for claim in held:
        if claims.is_current(claim):
            await nak(claim.delivery)
            freed += 1
    logger.info("runs.freed", of_worker=worker, runs=freed)
    return freed
