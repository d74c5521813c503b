"""Budgets in key-value buckets of the broker: one value per user and day, changed by compare-and-set."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec
import structlog
from bus.errors import BusError, RevisionConflictError
from bus.key_values import KeyValues
from contracts import topology
from contracts.budgets import BudgetLimits, DaySpending, day_key, decode_limits, decode_spending
from contracts.subjects import budget_subject, flag_subject

from inference.domain.budget import correct, reserve, settle

logger = structlog.get_logger()
T = TypeVar("T")

LIMITS_KEY: Final = "budgets"
FOLLOW_AGAIN: Final = 2.0
"""Seconds after which the limits are watched again when that broke off."""


class BucketBudgets:
    """ports.Budgets. Within `watching` it knows the limits as they are now. Where the broker does not answer a call is made:
    a run could not go on without its log either, and the call is settled later."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus = bus
        self._limits = BudgetLimits()
        self._days: dict[str, str] = {}
        self._asked = asyncio.Event()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Hear of every change of the limits. Inside, those of before are known: a worker that starts may be given the runs of
        one that died at once."""
        task = asyncio.create_task(self._watch())
        try:
            await self._asked.wait()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        subject = flag_subject(LIMITS_KEY)
        while True:
            try:
                last = await self._bus.last_of(topology.FLAGS.name, subject)
                if last is not None:
                    self._take(last.data)
                self._asked.set()
                after = last.stream_sequence if last is not None else 0
                async with self._bus.follow_stream(topology.FLAGS.name, subject, after=after) as batches:
                    async for batch in batches:
                        self._take(batch[-1].data)
            except BusError as error:
                logger.warning("budgets.unwatched", error=str(error))
            self._asked.set()
            await asyncio.sleep(FOLLOW_AGAIN)

    def _take(self, data: bytes) -> None:
        try:
            self._limits = decode_limits(data)
        except ValueError as error:  # msgspec's are as well
            logger.error("budgets.unreadable", error=str(error))

    async def reserve(self, user_id: str, key: str, estimate_microusd: int) -> int | None:
        """See ports.Budgets."""
        limit = self._limits.of(user_id)
        if limit is None:
            return None
        day = day_key(user_id, datetime.now(UTC))
        # Settled under the day in which it was reserved, also after midnight.
        self._days[key] = day
        try:
            return await self._change(
                day, lambda spending: reserve(spending, key, estimate_microusd, limit=limit, now=time.time())
            )
        except BusError as error:
            logger.warning("budgets.unavailable", error=str(error))
            return None

    async def settle(self, user_id: str, key: str, spent_microusd: int) -> None:
        """See ports.Budgets."""
        await self._end(user_id, key, lambda spending: settle(spending, key, spent_microusd))

    async def correct(self, user_id: str, key: str, cost_microusd: int) -> None:
        """See ports.Budgets."""
        await self._end(user_id, key, lambda spending: correct(spending, key, cost_microusd))

    async def _end(self, user_id: str, key: str, change: Callable[[DaySpending], object]) -> None:
        day = self._days.pop(key, None)
        if day is None and (self._limits.of(user_id) is None):
            return
        try:
            await self._change(day or await self._day_of(user_id, key), change)
        except BusError as error:
            # What was set aside stays so until it expires, and then counts as spent.
            logger.warning("budgets.unsettled", error=str(error))

    async def _day_of(self, user_id: str, key: str) -> str:
        """Where another worker has reserved or settled it: today, unless it was before midnight."""
        now = datetime.now(UTC)
        yesterday = day_key(user_id, now - timedelta(days=1))
        last = await self._bus.last_of(topology.BUDGETS.name, budget_subject(yesterday))
        spending = decode_spending(last.data) if last is not None else DaySpending()
        return yesterday if key in spending.reserved or key in spending.costs else day_key(user_id, now)

    async def _change(self, day: str, change: Callable[[DaySpending], T]) -> T:
        subject = budget_subject(day)
        while True:
            last = await self._bus.last_of(topology.BUDGETS.name, subject)
            spending = decode_spending(last.data) if last is not None else DaySpending()
            result = change(spending)
            data = msgspec.json.encode(spending)
            if last is not None and data == last.data:
                return result
            try:
                await self._bus.compare_and_set(
                    topology.BUDGETS.name, subject, data, expected=last.stream_sequence if last is not None else 0
                )
            except RevisionConflictError:
                # Another worker's call of the same user.
                continue
            return result
