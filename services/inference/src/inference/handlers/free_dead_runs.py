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
    told_at: float | None,
    choose: Callable[[], float] = random.random,
) -> int:
    """Nak what `worker` still holds; how many. Whoever is given it asks `worker` first: for a moment where it was told dead
    `told_at`, with patience where that is doubtful (None)."""
    if told_at is None:
        claims.find(worker)
    else:
        claims.lose(worker, told_at)
    held = claims.of(worker)
    if not held:
        return 0
    await asyncio.sleep(choose() * SPREAD)
    freed = 0
    for claim in held:
        if claims.is_current(claim):
            await nak(claim.delivery)
            freed += 1
    logger.info("runs.freed", of_worker=worker, runs=freed, doubtful=told_at is None)
    return freed
