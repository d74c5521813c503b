"""What is unread, folded from the feeds; what was read, written into them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from bus.api import Bus
from contracts.facts import FeedEntry
from contracts.ids import FACT, derived_id
from contracts.subjects import feed_subject
from contracts.times import rfc3339
from contracts.topology import FEEDS

from gateway.domain.unread import Unread

USERS_REMEMBERED: Final = 2000
ANEW_SECONDS: Final = 300.0
"""How long a fold is only gone on with: after that it is made anew, since the oldest entries of a feed expire."""

_decode = msgspec.json.Decoder(FeedEntry).decode
_encode = msgspec.json.Encoder().encode


class _Fold:
    __slots__ = ("__weakref__", "begun", "unread")

    def __init__(self, user_id: str, begun: float) -> None:
        self.unread = Unread(user_id)
        self.begun = begun


class FeedUnread:
    """notice_ports.Feeds. Remembers the folds of the users who asked last, so that asking again reads only what is new."""

    def __init__(self, bus: Bus, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._bus: Final = bus
        self._now: Final = now
        self._folds: OrderedDict[str, _Fold] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def unread(self, user_id: str) -> Unread:
        """See the port."""
        subject = feed_subject(user_id)
        turn = self._turns.setdefault(user_id, asyncio.Lock())
        async with turn:
            last = await self._bus.last_of(FEEDS.name, subject)
            reached = 0 if last is None else last.stream_sequence
            fold = self._fold_of(user_id, reached)
            if reached > fold.unread.up_to:
                async for entry in self._bus.read_stream(FEEDS.name, subject, after=fold.unread.up_to):
                    fold.unread.apply(_decode(entry.data), entry.stream_sequence)
            return fold.unread

    def _fold_of(self, user_id: str, reached: int) -> _Fold:
        """What to go on with. Kept before it is whole: who has waited long enough leaves what was read to who asks next."""
        clock = asyncio.get_running_loop().time()
        fold = self._folds.get(user_id)
        if fold is None or clock - fold.begun > ANEW_SECONDS or reached < fold.unread.up_to:
            fold = self._folds[user_id] = _Fold(user_id, clock)
        self._folds.move_to_end(user_id)
        while len(self._folds) > USERS_REMEMBERED:
            self._folds.popitem(last=False)
        return fold

    async def mark_read(self, user_id: str, thread_id: str, up_to: int) -> None:
        """See the port. The entry's id follows from what it says, so that two devices at once say it once."""
        entry = FeedEntry(
            id=derived_id(FACT, "read", user_id, thread_id, str(up_to)),
            type="thread.read",
            thread_id=thread_id,
            at=rfc3339(self._now()),
            up_to=up_to,
        )
        await self._bus.publish(feed_subject(user_id), _encode(entry), message_id=f"{entry.id}:{user_id}")
