"""Snapshots of runs, as they are delivered."""

import asyncio
from weakref import WeakValueDictionary

import msgspec
import structlog
from bus.api import Delivery, Done, Outcome, Poison, RetryLater
from bus.errors import BusError
from contracts.run_state import decode_snapshot
from store.errors import StoreUnavailableError

from conversation.handlers.record_snapshot import record_snapshot
from conversation.ports import Parts

logger = structlog.get_logger()
RETRY_SECONDS = 2.0


class RecordSubscriber:
    """Calls record_snapshot for each delivery on contracts.topology.RECORD. What is in hand of one run is recorded one after
    the other: a short answer's start and its end write the same message, and one of two at once would have to begin again."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, delivery: Delivery) -> Outcome:
        try:
            state = decode_snapshot(delivery.data).state
        except msgspec.MsgspecError as error:
            return Poison(f"not a snapshot: {error}")
        try:
            async with self._turns.setdefault(state.run_id, asyncio.Lock()):
                await record_snapshot(self._parts, state)
        except (StoreUnavailableError, BusError) as error:
            # MongoDB or the broker is away: the snapshot waits in RUNS, however often that takes.
            logger.warning("run.record_postponed", run_id=state.run_id, error=str(error))
            return RetryLater(RETRY_SECONDS)
        return Done()
