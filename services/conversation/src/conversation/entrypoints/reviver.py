"""The clock of revive_runs."""

import asyncio
import random

import structlog
from bus.errors import BusError
from runtime import metrics
from runtime.names import Metric
from store.errors import StoreUnavailableError

from conversation.handlers.revive_runs import revive_runs
from conversation.ports import Parts

logger = structlog.get_logger()


async def revive_for_ever(parts: Parts, every: float) -> None:
    """Look at unheard runs about every `every` seconds until cancelled, whatever MongoDB and the broker do meanwhile."""
    while True:
        # Replicas that were started together shall not look together.
        await asyncio.sleep(every * (0.75 + random.random() / 2))  # noqa: S311 - not a secret
        try:
            counts = await revive_runs(parts)
        except (StoreUnavailableError, BusError) as error:
            logger.warning("runs.revival_postponed", error=str(error))
        else:
            for decision, runs in counts.items():
                metrics.add(Metric.REVIVALS, runs, decision=decision)
            if counts["revive"] or counts["fail"]:
                logger.warning("runs.revived", **counts)
