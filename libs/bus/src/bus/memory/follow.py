"""Attach in memory: the past, then what is stored from now on. The stream itself is the buffer, so nothing can be lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bus.api import Entry
from bus.memory.stream import MemoryStream


@asynccontextmanager
async def follow(
    stream: MemoryStream, subject_filter: str, after: int
) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
    """See RunLog.follow."""
    arrived = asyncio.Event()

    def heard(_: Entry) -> None:
        arrived.set()

    async def batches() -> AsyncIterator[Sequence[Entry]]:
        position = after
        while True:
            arrived.clear()
            found = stream.after(position, subject_filter)
            if found:
                position = found[-1].stream_sequence
                yield found
            else:
                await arrived.wait()

    stream.heard[heard] = subject_filter
    try:
        yield batches()
    finally:
        stream.heard.pop(heard, None)
