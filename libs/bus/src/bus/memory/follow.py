"""Attach in memory: the past, then what is stored from now on. The stream itself is the buffer, so nothing can be lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bus.api import Entry
from bus.memory.stream import MemoryStream


class MemoryFollower:
    """An iterator of batches that may be cancelled and asked again."""

    def __init__(self, stream: MemoryStream, subject_filter: str, after: int) -> None:
        self._stream = stream
        self._filter = subject_filter
        self._position = after
        self._arrived = asyncio.Event()

    def heard(self, _: Entry) -> None:
        """An entry was stored."""
        self._arrived.set()

    def __aiter__(self) -> "MemoryFollower":
        return self

    async def __anext__(self) -> Sequence[Entry]:
        while True:
            self._arrived.clear()
            found = self._stream.after(self._position, self._filter)
            if found:
                self._position = found[-1].stream_sequence
                return found
            await self._arrived.wait()


@asynccontextmanager
async def follow(
    stream: MemoryStream, subject_filter: str, after: int
) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
    """See RunLog.follow."""
    follower = MemoryFollower(stream, subject_filter, after)
    stream.heard[follower.heard] = subject_filter
    try:
        yield follower
    finally:
        stream.heard.pop(follower.heard, None)
