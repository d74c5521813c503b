"""The clock of revive_runs."""

import asyncio
import random
from contextlib import suppress

import structlog
from bus.errors import BusError
from runtime import metrics
from runtime.names import Metric
from store.errors import StoreUnavailableError

from conversation.handlers.record_shadow import clear_shadows
from conversation.handlers.revive_runs import revive_runs
from conversation.handlers.run_schedule import run_overdue_schedules
from conversation.ports import Parts

logger = structlog.get_logger()


async def keep_reviving(parts: Parts, every: float, stopping: asyncio.Event) -> None:
    """Look at unheard runs about every `every` seconds until `stopping`, whatever MongoDB and the broker do meanwhile."""
    while True:
        with suppress(TimeoutError):
            # Replicas that were started together shall not look together.
            async with asyncio.timeout(every * (0.75 + random.random() / 2)):  # noqa: S311 - not a secret
                await stopping.wait()
                return
        try:
            counts = await revive_runs(parts)
            await run_overdue_schedules(parts)
            await clear_shadows(parts, parts.now())
        except (StoreUnavailableError, BusError) as error:
            logger.warning("runs.revival_postponed", error=str(error))
        else:
            for decision, runs in counts.items():
                metrics.add(Metric.REVIVALS, runs, decision=decision)
            if counts["revive"] or counts["fail"]:
                logger.warning("runs.revived", **counts)
