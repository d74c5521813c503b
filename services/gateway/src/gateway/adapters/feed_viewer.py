"""A viewer of a user's feed. Feeds are slow, so each viewer has a follower of its own, which waits for its client."""

import asyncio
from typing import Final

import structlog
from bus.api import Bus, Entry
from bus.errors import BusError
from contracts.subjects import feed_subject
from contracts.topology import FEEDS

from gateway.domain.frames import feed_frame

logger = structlog.get_logger()

RETRY_SECONDS: Final = 0.25


class FeedViewer:
    """See ports.Viewer. The follower fetches nothing while a piece waits to be taken. Most have nothing to do all day, so what
    waits is a future while it does: an Event has a queue of its own."""

    __slots__ = (
        "_bus",
        "_entries",
        "_fetched",
        "_piece_bytes",
        "_room",
        "_subject",
        "_taken",
        "_task",
        "_waiter",
        "_woken",
    )
    ended: Final = False

    def __init__(self, bus: Bus, subject: str, after: int, piece_bytes: int) -> None:
        self._bus: Final = bus
        self._subject: Final = subject
        self._piece_bytes: Final = piece_bytes
        self._fetched = after
        self._taken = 0
        self._entries: list[Entry] = []
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False
        self._room: asyncio.Future[None] | None = None
        self._task: Final = asyncio.create_task(self._follow(), name=f"follow {subject}")

    @classmethod
    async def attach(cls, bus: Bus, user_id: str, *, after: int | None, piece_bytes: int) -> "FeedViewer":
        """Begin after `after`, or after the last entry there is now."""
        subject = feed_subject(user_id)
        if after is None:
            last = await bus.last_of(FEEDS.name, subject)
            after = 0 if last is None else last.stream_sequence
        return cls(bus, subject, after, piece_bytes)

    @property
    def cursor(self) -> str:
        """See ports.Viewer."""
        return f"{self._taken}-0" if self._taken else ""

    def wake(self) -> None:
        """See ports.Viewer."""
        self._woken = True
        _release(self._waiter)

    async def take(self) -> bytes:
        """See ports.Viewer."""
        if not self._entries:
            if not self._woken:
                self._waiter = asyncio.get_running_loop().create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            self._woken = False
        pieces, size, count = [], 0, 0
        while count < len(self._entries) and size < self._piece_bytes:
            entry = self._entries[count]
            pieces.append(feed_frame(entry.stream_sequence, entry.data))
            self._taken = entry.stream_sequence
            size += len(pieces[-1])
            count += 1
        del self._entries[:count]
        if not self._entries:
            _release(self._room)
        return b"".join(pieces)

    async def close(self) -> None:
        """See ports.Viewer."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _follow(self) -> None:
        while True:
            try:
                async with self._bus.follow_stream(FEEDS.name, self._subject, after=self._fetched) as batches:
                    async for batch in batches:
                        if self._entries:
                            self._room = asyncio.get_running_loop().create_future()
                            await self._room
                        self._entries += batch
                        self._fetched = batch[-1].stream_sequence
                        self.wake()
            except BusError as error:
                logger.warning("feed.follow_failed", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


def _release(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
