"""The guard's turn: every gateway tries for the lease, the one that has it evaluates."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from bus.errors import BusError

from gateway.domain.guard import GuardPolicy
from gateway.handlers.guard_rollout import guard_rollout
from gateway.handlers.tell_changes import tell_changes
from gateway.ports import Flags, RolloutStore, RunResults
from gateway.rollout_ports import Audit

logger = structlog.get_logger()


async def keep_guarding(
    flags: Flags,
    store: RolloutStore,
    results: RunResults,
    policy: GuardPolicy,
    *,
    interval: float,
    holds: Callable[[], Awaitable[bool]],
    before: Callable[[], Awaitable[None]],
    audit: Audit,
) -> None:
    """Every `interval` seconds, until cancelled. `holds` says whether this gateway has the lease, `before` comes first in every
    gateway. Each turn ends with telling what was changed, by whomever. Nothing that goes wrong ends it."""
    while True:
        await asyncio.sleep(interval)
        try:
            await before()
            if await holds():
                await guard_rollout(flags, store, results, policy, now=datetime.now(UTC))
                await tell_changes(flags, audit)
        except BusError as error:
            logger.warning("rollout.unguarded", error=str(error))
        except Exception as error:
            logger.error("rollout.failed", exc_info=error)
