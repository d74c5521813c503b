"""What was read of a feed is kept, though whoever asked did not wait for the rest."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from bus.api import Entry
from contracts import ids
from contracts.facts import FeedEntry
from contracts.ids import new_id
from gateway.adapters.feed_unread import FeedUnread

LAST = 5
USER = new_id(ids.USER)


class SlowFeed:
    """A feed of LAST unread entries, which stands still before the third until `goes_on`."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.stands = asyncio.Event()
        self.read_from: list[int] = []

    async def last_of(self, stream: str, subject: str) -> Entry:
        return Entry(subject, b"", LAST)

    async def read_stream(self, stream: str, subject: str, *, after: int = 0) -> AsyncIterator[Entry]:
        self.read_from.append(after)
        for sequence in range(after + 1, LAST + 1):
            if sequence == 3:
                self.stands.set()
                await self.goes_on.wait()
            entry = FeedEntry(id=str(sequence), type="run.completed", thread_id="thr_a", at="", unread=True)
            yield Entry(subject, msgspec.json.encode(entry), sequence)


async def test_who_asks_next_goes_on_where_the_one_before_gave_up() -> None:
    slow: Any = SlowFeed()
    feeds = FeedUnread(slow)
    impatient = asyncio.create_task(feeds.unread(USER))
    async with asyncio.timeout(10):
        await slow.stands.wait()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    slow.goes_on.set()
    assert (await feeds.unread(USER)).counts == {"thr_a": LAST}
    assert slow.read_from == [0, 2]
