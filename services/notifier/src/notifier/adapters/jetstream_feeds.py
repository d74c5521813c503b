"""Feeds on the stream FEEDS: one subject per user, each fact in it once.

Two things keep a fact from being there twice. Within the stream's duplicate window the broker itself drops a repeated
`Nats-Msg-Id` (the fact's id and the user's). A fact too old for that (the notifier was away, or the relay published it again after a
crash) is looked for in the feed first. Both together leave no hole, for any number of notifiers: what another one publishes after
our look has our message id and is younger than the window.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from bus.erasing import Erasing
from contracts.facts import FeedEntry
from contracts.subjects import feed_subject
from contracts.times import parse_rfc3339
from contracts.topology import FEEDS

YOUNG: Final = timedelta(seconds=FEEDS.duplicate_window / 4)
"""The entry of a fact this young cannot be older than the duplicate window. The rest of the window is for clocks that
disagree and for a publish that is retried; a fact from the future means a wrong clock and counts as old."""
_USERS_REMEMBERED: Final = 200

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Read:
    """What was read of one user's feed so far: the ids up to and including a stream sequence."""

    up_to: int = 0
    ids: set[str] = field(default_factory=set)


class _Head(msgspec.Struct):
    id: str


class _About(msgspec.Struct):
    thread_id: str
    type: str


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_about = msgspec.json.Decoder(_About).decode


class JetStreamFeeds:
    """notifier.ports.Feeds over the bus. Entries of one user are added one after the other, in the order of the calls."""

    def __init__(self, bus: Erasing, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._now = now
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._read: OrderedDict[str, _Read] = OrderedDict()

    async def add(self, user_id: str, entry: FeedEntry) -> bool:
        """See the port. Raises InvalidIdError for a user id that is none."""
        subject = feed_subject(user_id)
        turn = self._turns.setdefault(user_id, asyncio.Lock())
        async with turn:
            if not self._is_young(entry) and entry.id in await self._ids_of(subject):
                return False
            # The broker knows message ids by stream, and the feeds of all users are one stream.
            await self._bus.publish(subject, _encode(entry), message_id=f"{entry.id}:{user_id}")
            return True

    async def forget(self, user_id: str, thread_id: str) -> None:
        """See the port."""
        gone = [
            entry.stream_sequence
            async for entry in self._bus.read_stream(FEEDS.name, feed_subject(user_id))
            if (head := _decode_about(entry.data)).thread_id == thread_id and head.type != "thread.deleted"
        ]
        for sequence in gone:
            await self._bus.erase(FEEDS.name, sequence)

    def _is_young(self, entry: FeedEntry) -> bool:
        try:
            return abs(self._now() - parse_rfc3339(entry.at)) < YOUNG
        except (ValueError, TypeError):
            # No time or one without a zone: then nothing is known about its age.
            return False

    async def _ids_of(self, subject: str) -> set[str]:
        read = self._read.pop(subject, None) or _Read()
        last = await self._bus.last_of(FEEDS.name, subject)
        if last is None or last.stream_sequence < read.up_to:
            # The feed was emptied or the stream made anew since: what was read is not there any more.
            read = _Read()
        if last is not None and last.stream_sequence > read.up_to:
            async with self._bus.follow_stream(FEEDS.name, subject, after=read.up_to) as batches:
                async for batch in batches:
                    read.ids.update(_decode_head(stored.data).id for stored in batch)
                    read.up_to = batch[-1].stream_sequence
                    if read.up_to >= last.stream_sequence:
                        break
        self._read[subject] = read
        if len(self._read) > _USERS_REMEMBERED:
            self._read.popitem(last=False)
        return read.ids
