"""The clocks of finish_deletions and retire_threads."""

import asyncio
import random
from contextlib import suppress
from typing import Final

import structlog
from bus.errors import BusError
from store.errors import StoreUnavailableError

from conversation.handlers.finish_deletions import finish_deletions
from conversation.handlers.retire_threads import retire_threads
from conversation.lifetime_ports import LifetimeParts

logger = structlog.get_logger()
DELETIONS_SECONDS: Final = 1.0
RETIRING_SECONDS: Final = 10.0


async def keep_deleting(parts: LifetimeParts, stopping: asyncio.Event, every: float = DELETIONS_SECONDS) -> None:
    """Carry on deletions about every `every` seconds until `stopping`, whatever MongoDB and the broker do meanwhile."""
    while not await _waited(every, stopping):
        try:
            await finish_deletions(parts)
        except (StoreUnavailableError, BusError) as error:
            logger.warning("threads.deletion_postponed", error=str(error))


async def keep_retiring(parts: LifetimeParts, stopping: asyncio.Event, every: float = RETIRING_SECONDS) -> None:
    """Walk over all threads, a piece about every `every` seconds, until `stopping`."""
    after = ""
    while not await _waited(every, stopping):
        try:
            after, count = await retire_threads(parts, after)
        except (StoreUnavailableError, BusError) as error:
            logger.warning("threads.retiring_postponed", error=str(error))
        else:
            if count:
                logger.info("threads.retired", count=count)


async def _waited(seconds: float, stopping: asyncio.Event) -> bool:
    """Whether the process stops."""
    with suppress(TimeoutError):
        # Replicas that were started together shall not look together.
        async with asyncio.timeout(seconds * (0.75 + random.random() / 2)):  # noqa: S311 - not a secret
            await stopping.wait()
    return stopping.is_set()
