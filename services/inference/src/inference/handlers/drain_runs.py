"""The worker is asked to stop: let runs finish for a while, then hand over what is left."""

import asyncio

import structlog

from inference.domain.interruptions import Draining
from inference.handlers.running import RunningRuns

logger = structlog.get_logger()


async def drain_runs(running: RunningRuns, *, grace: float) -> int:
    """Return when nothing runs here any more; how many runs were handed over. Nothing new may be taken meanwhile."""
    try:
        async with asyncio.timeout(grace):
            await running.wait_empty()
        return 0
    except TimeoutError:
        left = len(running)
    logger.info("runs.handing_over", runs=left)
    running.interrupt_all(Draining())
    await running.wait_empty()
    return left
