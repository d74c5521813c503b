"""Attach: subscribe live, read the past, drop what overlaps, fill what is missing.

A follower knows `base` (everything of its filter up to there was read from the stream) and, per subject, the last live
entry handed out since. A live entry names the one before it on its subject, so a gap shows at once. A lost last entry has no
successor: `Followers` compares with the stream after a reconnect and when a follower falls silent.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import structlog
from contracts.subjects import LIVE
from runtime import metrics
from runtime.names import Metric

from bus.api import Entry
from bus.errors import UnavailableError
from bus.filters import is_literal
from bus.jetstream.client import Message, server_header
from bus.jetstream.direct_get import LAST_SEQUENCE, SEQUENCE, Reader

logger = structlog.get_logger()

BUFFER_ENTRIES: Final = 4096
BUFFER_BYTES: Final = 8 * 1024 * 1024
FIRST_CHECK: Final = 1.0
LONGEST_CHECK: Final = 30.0
GRACE: Final = 0.1
RECENT_SUBJECTS: Final = 16


class Follower:
    """One attached viewer, an iterator of batches that may be cancelled and asked again. `heard` runs in the subscription's
    turn, everything else in the consumer's."""

    __slots__ = (
        "_base",
        "_check_every",
        "_filter",
        "_handed",
        "_literal",
        "_live",
        "_live_bytes",
        "_newest_checked",
        "_newest_heard",
        "_newest_verified",
        "_past",
        "_reader",
        "_recent",
        "_stale",
        "_stream",
        "_until",
        "_waiter",
        "check_at",
    )

    def __init__(self, reader: Reader, stream: str, subject_filter: str, after: int) -> None:
        self._reader = reader
        self._stream = stream
        self._filter = subject_filter
        self._literal = is_literal(subject_filter)
        self._base = after
        self._handed: dict[str, int] = {}
        self._live: list[Entry] = []
        self._live_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._stale = True
        self._past: AsyncGenerator[list[Entry], None] | None = None
        self._until = after
        self._newest_heard = 0
        self._newest_checked = -1
        self._newest_verified = -1
        self._recent: dict[str, int] = {}
        self._check_every = FIRST_CHECK
        self.check_at = 0.0

    def heard(self, message: Message) -> None:
        """A live entry arrived."""
        entry = live_entry_of(message)
        if entry is None:
            return
        self._newest_heard = entry.stream_sequence
        self._live_bytes += len(entry.data)
        if len(self._live) >= BUFFER_ENTRIES or self._live_bytes > BUFFER_BYTES:
            self.go_back_to_stream()
            return
        self._live.append(entry)
        self._wake()

    def go_back_to_stream(self) -> None:
        """Something may be missing, or the consumer is too slow to buffer for: read on from the stream itself."""
        self._live = []
        self._live_bytes = 0
        self._stale = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Sequence[Entry]:
        while True:
            try:
                if self._stale or self._past is not None:
                    ready = await self._read_past()
                elif self._live:
                    ready = self._take_live() or await self._fill_gap()
                else:
                    # A future of our own: an Event makes one as well, and keeps a queue of who waits, for every token.
                    self._waiter = asyncio.get_running_loop().create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                    continue
            except UnavailableError as error:
                logger.warning("follow.waiting", subject=self._filter, error=str(error))
                self.go_back_to_stream()
                await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311  # no secret
                continue
            if ready:
                return ready

    async def close(self) -> None:
        """Stop reading the past."""
        if self._past is not None:
            await self._past.aclose()
            self._past = None

    async def _read_past(self) -> Sequence[Entry]:
        """The next batch of the past; at its end everything up to `_until` is handed out."""
        try:
            if self._stale:
                await self.close()
                self._stale = False
                self._until = await self._reader.newest_sequence(self._stream, self._filter)
                self._past = self._reader.batches(self._stream, self._filter, self._base, until=self._until)
            if self._past is None:
                return ()
            entries = await anext(self._past, None)
        except BaseException:
            self._stale = True
            raise
        if entries is None:
            self._past = None
            self._base = max(self._base, self._until)
            self._handed = {subject: at for subject, at in self._handed.items() if at > self._base}
            return ()
        self._base = entries[-1].stream_sequence
        if not self._literal:
            for entry in entries:
                self._remember(entry)
        return [entry for entry in entries if entry.stream_sequence > self._handed.get(entry.subject, 0)]

    def _take_live(self) -> Sequence[Entry]:
        """Live entries without overlap, up to the first gap, which stays at the head of the buffer."""
        ready: list[Entry] = []
        arrived, self._live, self._live_bytes = self._live, [], 0
        for index, entry in enumerate(arrived):
            position = self._position(entry.subject)
            if entry.stream_sequence <= position:
                continue
            if entry.previous is not None and entry.previous > position:
                self._live = arrived[index:]
                self._live_bytes = sum(len(left.data) for left in self._live)
                break
            ready.append(entry)
            self._hand(entry)
        return ready

    async def _fill_gap(self) -> Sequence[Entry]:
        """What is missing before the entry at the head of the buffer, and that entry. It is stored, so a replica that does
        not have it lags and is asked again."""
        if not self._live:
            return ()
        entry = self._live.pop(0)
        found: list[Entry] = []
        until = entry.stream_sequence
        try:
            async for entries in self._reader.batches(
                self._stream, entry.subject, self._position(entry.subject), until=until
            ):
                found.extend(older for older in entries if older.stream_sequence < until)
        except BaseException:
            self.go_back_to_stream()
            raise
        if found:
            metrics.add(Metric.GAPS)
        found.append(entry)
        self._hand(entry)
        return found

    def _position(self, subject: str) -> int:
        return max(self._base, self._handed.get(subject, 0))

    def _hand(self, entry: Entry) -> None:
        if self._literal:
            self._base = entry.stream_sequence
        else:
            self._handed[entry.subject] = entry.stream_sequence
            self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        """Keep the subjects that spoke last, each with its last entry: their ends are what the heartbeat verifies."""
        self._recent.pop(entry.subject, None)
        self._recent[entry.subject] = entry.stream_sequence
        if len(self._recent) > RECENT_SUBJECTS:
            del self._recent[next(iter(self._recent))]

    async def check(self, now: float) -> None:
        """The heartbeat. While entries come, each proves the one before it; once they stop, the last must be the stream's."""
        self.check_at = now + random.uniform(0.75, 1.0) * self._check_every  # noqa: S311  # no secret
        if self._newest_heard != self._newest_checked:
            self._newest_checked = self._newest_heard
            self._check_every = FIRST_CHECK
            return
        self._check_every = min(LONGEST_CHECK, self._check_every * 2)
        if self._stale or self._past is not None or self._live:
            return
        if (await self._is_behind() or await self._recent_is_behind()) and not self._stale:
            metrics.add(Metric.GAPS)
            logger.info("follow.gap", subject=self._filter, base=self._base)
            self.go_back_to_stream()

    async def _is_behind(self) -> bool:
        """Whether the stream has an entry that is not here, nor arrives within a moment."""
        last = await self._reader.last(self._stream, self._filter)
        if last is None or last.stream_sequence <= max(self._base, self._newest_heard):
            return False
        await asyncio.sleep(GRACE)
        return last.stream_sequence > max(self._base, self._newest_heard)

    async def _recent_is_behind(self) -> bool:
        """The same for each of several subjects, whose lost end the last entry of another one may hide. Once per quiet."""
        if len(self._recent) < 2 or self._newest_verified == self._newest_heard:
            return False
        heard = self._newest_heard
        last = await self._reader.last_sequences(self._stream, list(self._recent))
        await asyncio.sleep(GRACE)
        if self._live or self._newest_heard != heard:
            return False
        self._newest_verified = heard
        return any(last.get(subject, 0) > sequence for subject, sequence in self._recent.items())


def live_entry_of(message: Message) -> Entry | None:
    """A republished entry, with the headers that it would be read with (ADR-28 of nats-architecture-and-design); None for what
    somebody else sent to a live subject."""
    block = message.raw_headers
    sequence, previous = server_header(block, SEQUENCE), server_header(block, LAST_SEQUENCE)
    if sequence is None:
        return None
    subject = message.subject[len(LIVE) :]
    return Entry(subject, message.data, int(sequence), None if previous is None else int(previous))
