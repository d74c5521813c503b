"""The relay: takes rows from the outbox to the broker, at once after the commit and by a sweep for what a crash left.

Several relays may work on the same outbox. A row that two of them publish, or that one publishes again because it died
before it could delete it, has the same message id: the broker stores it once within its duplicate window, and whoever
consumes it is idempotent beyond that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog
from runtime import metrics
from runtime.names import Metric

from store.errors import StoreError
from store.outbox import OutboxRow

logger = structlog.get_logger()

Publish = Callable[[OutboxRow], Awaitable[None]]
"""Returns once the broker has acknowledged the row; raises anything else, and the row stays for the next sweep."""

SWEEP_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 2.0
"""Younger rows are left to the process that wrote them: it is publishing them right now."""
PAGE_ROWS: Final = 200
DELETED_ROWS: Final = 50
"""Per command: the embedded database takes longer per row the more there are (50: 0.2 ms, 1,000: 2.6 ms)."""
IN_FLIGHT_ROWS: Final = 1000
"""More than these are not taken up in memory while the broker is away; the sweep finds them afterwards."""
BEHIND_SECONDS: Final = 15.0


class Rows(Protocol):
    """What the relay needs of an outbox."""

    async def oldest(self, *, before: datetime, after_id: str = "", limit: int) -> list[OutboxRow]:
        """As Outbox.oldest."""

    async def delete(self, ids: Sequence[str]) -> None:
        """As Outbox.delete."""


class Relay:
    """Publishes rows and deletes them afterwards, many at a time, so that a row costs no delete of its own under load."""

    def __init__(
        self,
        outbox: Rows,
        publish: Publish,
        *,
        sweep_seconds: float = SWEEP_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._sweep_seconds = sweep_seconds
        self._grace = timedelta(seconds=grace_seconds)
        self._in_flight: set[str] = set()
        self._published: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._oldest: datetime | None = None
        self._left_rows = 0
        self._behind = False
        self._stopping = asyncio.Event()
        metrics.read(Metric.OUTBOX_AGE, lambda: self.oldest_age)
        metrics.read(Metric.OUTBOX_ROWS, lambda: self.waiting)

    def hand(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows that were just committed. Never waits and never raises."""
        for row in rows:
            if len(self._in_flight) >= IN_FLIGHT_ROWS:
                return
            self._in_flight.add(row.id)
            task = asyncio.create_task(self._hand_over(row))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @property
    def waiting(self) -> int:
        """At least so many rows the broker has not acknowledged: being published here, or left over by the last sweep."""
        return max(len(self._in_flight), self._left_rows)

    @property
    def oldest_age(self) -> float:
        """Age in seconds of the oldest row that the last sweep could not publish; 0 when nothing is left behind."""
        return 0.0 if self._oldest is None else max(0.0, (datetime.now(UTC) - self._oldest).total_seconds())

    async def run(self) -> None:
        """Sweep until `drain`, whatever MongoDB and the broker do meanwhile."""
        # Not until cancelled: Python 3.11's wait_for, on which pymongo sends, can lose a cancellation.
        while not self._stopping.is_set():
            try:
                await self.sweep()
            except StoreError as error:
                logger.warning("outbox.sweep_failed", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_seconds):
                    await self._stopping.wait()

    async def sweep(self) -> int:
        """Delete what is published, publish what was left, oldest first; returns how many. Raises StoreUnavailableError."""
        await self._delete_published()
        before, count, last_id = datetime.now(UTC) - self._grace, 0, ""
        left: datetime | None = None
        left_rows = 0
        while rows := await self._outbox.oldest(before=before, after_id=last_id, limit=PAGE_ROWS):
            last_id = rows[-1].id
            waiting = [row for row in rows if row.id not in self._in_flight and row.id not in self._published]
            self._in_flight.update(row.id for row in waiting)
            sent = sum(await asyncio.gather(*(self._send(row) for row in waiting)))
            count += sent
            unpublished = [row for row in rows if row.id not in self._published]
            left = left or next((row.created_at for row in unpublished), None)
            left_rows += len(unpublished)
            if waiting and not sent:
                # Nothing gets through: the broker is away. Later pages would only wait as long again.
                break
        self._oldest, self._left_rows = left, left_rows
        self._tell_whether_behind()
        await self._delete_published()
        return count

    async def drain(self, seconds: float) -> None:
        """Sweep no more; let what is being published finish, for at most `seconds`, and delete it. What is left, others sweep."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        try:
            await self._delete_published()
        except StoreError as error:
            logger.warning("outbox.delete_failed", error=str(error), rows=len(self._published))

    async def _hand_over(self, row: OutboxRow) -> None:
        await self._send(row)

    async def _send(self, row: OutboxRow) -> bool:
        try:
            await self._publish(row)
        except Exception as error:  # noqa: BLE001 - whatever it was, the row stays and the sweep comes back to it
            logger.warning(
                "outbox.publish_failed", subject=row.subject, row=row.id, error=f"{type(error).__name__}: {error}"
            )
            return False
        else:
            self._published.add(row.id)
            return True
        finally:
            self._in_flight.discard(row.id)

    async def _delete_published(self) -> None:
        ids = list(self._published)
        for start in range(0, len(ids), DELETED_ROWS):
            chunk = ids[start : start + DELETED_ROWS]
            await self._outbox.delete(chunk)
            self._published.difference_update(chunk)

    def _tell_whether_behind(self) -> None:
        behind = self.oldest_age > BEHIND_SECONDS
        if behind != self._behind:
            self._behind = behind
            logger.warning("outbox.behind" if behind else "outbox.caught_up", oldest_seconds=round(self.oldest_age, 1))
