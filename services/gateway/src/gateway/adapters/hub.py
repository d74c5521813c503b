"""One follower of the log per watched run or thread, shared by all its viewers.

A follower puts frames, encoded once, into a bounded ring; a viewer is an index into it. Whoever is behind the ring (new, or
slow) reads the log itself, piece by piece, as fast as its client takes it, and joins the ring again when it has caught up.
So a slow viewer costs neither memory nor others' time, and a token costs a viewer one wake-up.
"""

import asyncio
import contextlib
import re
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

import structlog
from bus.api import Bus, Entry, RunLog
from bus.errors import BusError
from contracts.events import TERMINAL_TYPES
from contracts.ids import moment_of
from contracts.subjects import token_at
from runtime import metrics
from runtime.names import Metric

from gateway.adapters.feed_viewer import FeedViewer
from gateway.domain.frames import run_event_frame

logger = structlog.get_logger()

RETRY_SECONDS: Final = 0.25
LAG_SECONDS: Final = 0.05
LAG_ATTEMPTS: Final = 100
REMEMBERED: Final = 5_000
"""Runs of which it is known when their first text was shown."""
FIRST_SEQUENCES: Final = 32
"""The first text of a run is among its first events; later ones of a thread are not looked at."""
_RUN_ID: Final = re.compile(rb'"run_id":"(run_[0-9A-Z]{26})"')
_SHOWS: Final = re.compile(rb"^event: (?:text|reasoning)\.delta$", re.MULTILINE)
"""A frame with something to read."""

_Frame = tuple[int, int, bytes, bool]
"""Stream sequence, run sequence, bytes, terminal."""


def _encode(entry: Entry) -> _Frame:
    kind, sequence, frame = run_event_frame(entry.stream_sequence, entry.data)
    return entry.stream_sequence, sequence, frame, kind in TERMINAL_TYPES


class Hub:
    """`Viewers` over one bus. `ring_bytes` bounds what a watched run or thread keeps, `piece_bytes` what one write holds."""

    def __init__(self, bus: Bus, *, ring_bytes: int, piece_bytes: int, log: RunLog | None = None) -> None:
        self.log: Final[RunLog] = log or bus.run_log
        self.ring_bytes: Final = ring_bytes
        self.piece_bytes: Final = piece_bytes
        self._bus: Final = bus
        self._watches: dict[str, Watch] = {}
        self._shown: dict[str, float] = {}
        self.gaps_shown = 0
        self.doubles_shown = 0
        """Both must stay 0 for ever; the guard of the rollout looks at them."""

    def of_log(self, subject_filter: str, *, after: int, until_terminal: bool) -> "RingViewer":
        """See ports.Viewers."""
        return RingViewer(self, subject_filter, after, until_terminal)

    def first_shown(self, run_id: str) -> float | None:
        """See ports.Viewers."""
        return self._shown.get(run_id)

    def show(self, run_id: str) -> None:
        """The first text of a run is handed to a viewer now."""
        if run_id in self._shown:
            return
        now = time.time()
        self._shown[run_id] = now
        if len(self._shown) > REMEMBERED:
            del self._shown[next(iter(self._shown))]
        metrics.observe(Metric.FIRST_TOKEN_EDGE, max(0.0, now - moment_of(run_id)))

    async def of_feed(self, user_id: str, *, after: int | None) -> FeedViewer:
        """See ports.Viewers."""
        return await FeedViewer.attach(self._bus, user_id, after=after, piece_bytes=self.piece_bytes)

    @property
    def watched(self) -> int:
        """How many followers run."""
        return len(self._watches)

    @property
    def buffered(self) -> int:
        """Bytes in all rings."""
        return sum(watch.size for watch in self._watches.values())

    def find(self, subject_filter: str) -> "Watch | None":
        """The watch of a filter, if somebody watches."""
        return self._watches.get(subject_filter)

    def enter(self, subject_filter: str, after: int) -> "Watch":
        """The watch of a filter, begun after `after` if there was none; counts the viewer in."""
        watch = self._watches.get(subject_filter)
        if watch is None:
            watch = self._watches[subject_filter] = Watch(self, subject_filter, after)
        watch.viewers += 1
        return watch

    def leave(self, watch: "Watch") -> None:
        """Counts the viewer out; the last one stops the follower."""
        watch.viewers -= 1
        if watch.viewers == 0:
            del self._watches[watch.subject_filter]
            watch.stop()

    async def close(self) -> None:
        """Stop all followers."""
        for watch in list(self._watches.values()):
            watch.stop()
        await asyncio.gather(*(watch.task for watch in self._watches.values()), return_exceptions=True)


class Watch:
    """One follower and its ring. Frames are numbered from 0 for ever; `base` is the number of the oldest one kept."""

    def __init__(self, hub: Hub, subject_filter: str, after: int) -> None:
        self.subject_filter: Final = subject_filter
        self.viewers = 0
        self.frames: list[_Frame] = []
        self.base = 0
        self.begun_after: Final = after
        self.position = after
        self.evicted_to = 0
        self.waiting: dict[RingViewer, None] = {}
        self._latest: tuple[int, bytes] = (0, b"")
        self.size = 0
        self._sequences: dict[str, int] = {}
        self._hub: Final = hub
        self.task: Final = asyncio.create_task(self._follow(), name=f"follow {subject_filter}")

    @property
    def end(self) -> int:
        """The number of the frame that comes next."""
        return self.base + len(self.frames)

    @property
    def floor(self) -> int:
        """Every entry with a higher stream sequence is in the ring, or will be."""
        return max(self.begun_after, self.evicted_to)

    def number_after(self, stream_sequence: int) -> int:
        """The number of the first frame above a stream sequence."""
        return self.base + bisect_right(self.frames, stream_sequence, key=lambda frame: frame[0])

    def latest_from(self, number: int) -> bytes | None:
        """The last batch as one piece, if it begins with this frame: what all viewers that are level send alike."""
        first, piece = self._latest
        return piece if first == number and piece else None

    def stop(self) -> None:
        """End the follower."""
        self.task.cancel()

    async def _follow(self) -> None:
        while True:
            try:
                async with self._hub.log.follow(self.subject_filter, after=self.position) as batches:
                    async for batch in batches:
                        self._add(batch)
            except BusError as error:
                logger.warning("hub.follow_failed", subject=self.subject_filter, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    def _add(self, batch: Sequence[Entry]) -> None:
        fresh = [entry for entry in batch if entry.stream_sequence > self.position]
        if not fresh:
            return
        added = [_encode(entry) for entry in fresh]
        self._check_gapless(fresh, added)
        pieces = [frame[2] for frame in added]
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._latest = (self.end, piece if len(piece) <= self._hub.piece_bytes else b"")
        self.frames += added
        self.size += len(piece)
        self.position = added[-1][0]
        if self.size > self._hub.ring_bytes:
            self._evict()
        waiting, self.waiting = self.waiting, {}
        for viewer in waiting:
            viewer.wake()

    def _check_gapless(self, entries: Sequence[Entry], frames: Sequence[_Frame]) -> None:
        """The promise that everything else is for, looked at where it would be broken: it costs one look-up an entry."""
        for entry, (_, sequence, _, terminal) in zip(entries, frames, strict=True):
            before = self._sequences.get(entry.subject)
            if before is not None and sequence > before + 1:
                metrics.add(Metric.GAPS_SHOWN)
                self._hub.gaps_shown += 1
                logger.critical("hub.gap_shown", subject=entry.subject, before=before, sequence=sequence)
            elif before is not None and sequence <= before:
                metrics.add(Metric.DOUBLES_SHOWN)
                self._hub.doubles_shown += 1
                logger.critical("hub.double_shown", subject=entry.subject, before=before, sequence=sequence)
            if terminal:
                self._sequences.pop(entry.subject, None)
            else:
                self._sequences[entry.subject] = sequence

    def _evict(self) -> None:
        # Down to half, so that the list is moved once in many tokens and not with each.
        count = 0
        while self.size > self._hub.ring_bytes // 2 and count < len(self.frames):
            self.size -= len(self.frames[count][2])
            count += 1
        self.evicted_to = self.frames[count - 1][0]
        self.base += count
        del self.frames[:count]


class RingViewer:
    """A viewer of the run log: see ports.LogViewer. It reads the log (`_reader`) or the ring (`_number`)."""

    __slots__ = (
        "_after",
        "_awaits_text",
        "_cursor",
        "_empty_reads",
        "_filter",
        "_hub",
        "_known_floor",
        "_left_out",
        "_number",
        "_peeked",
        "_reader",
        "_until_terminal",
        "_waiter",
        "_watch",
        "_woken",
        "ended",
    )

    def __init__(self, hub: Hub, subject_filter: str, after: int, until_terminal: bool) -> None:
        self._hub = hub
        self._filter = subject_filter
        self._after = after
        self._cursor: tuple[int, int] | None = None
        self._until_terminal = until_terminal
        # A run from its start, or a thread, so that the first text can be timed when it passes live.
        self._awaits_text = not (until_terminal and after)
        self._left_out: frozenset[str] = frozenset()
        self._watch: Watch | None = None
        self._number: int | None = None
        self._reader: AsyncIterator[Entry] | None = None
        self._peeked: Entry | None = None
        self._known_floor = 0
        self._empty_reads = 0
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False
        self.ended = False

    @property
    def cursor(self) -> str:
        """See ports.Viewer."""
        return "" if self._cursor is None else f"{self._cursor[0]}-{self._cursor[1]}"

    def wake(self) -> None:
        """See ports.Viewer."""
        # Remembered: who is told to stop while it reads the log must not go to sleep at its end.
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def peek(self) -> Entry | None:
        """See ports.LogViewer."""
        if self._peeked is None:
            self._peeked = await anext(self._open_reader(), None)
        return self._peeked

    def skip(self) -> None:
        """See ports.LogViewer."""
        if self._peeked is not None:
            self._move_to(_encode(self._peeked))
            self._peeked = None

    def leave_out(self, run_ids: frozenset[str]) -> None:
        """See ports.LogViewer."""
        self._left_out = run_ids

    async def take(self) -> bytes:
        """See ports.Viewer."""
        if self._number is None:
            piece = await self._read()
            if piece or self._number is None:
                return piece
        piece = self._take_from_ring()
        if piece or self._number is None:
            return piece
        if not self._woken:
            await self._wait()
        self._woken = False
        return self._take_from_ring()

    async def close(self) -> None:
        """See ports.Viewer."""
        if self._watch is not None:
            self._watch.waiting.pop(self, None)
            self._hub.leave(self._watch)
            self._watch = None
        await self._close_reader()

    async def _wait(self) -> None:
        if self._watch is not None:
            self._waiter = asyncio.get_running_loop().create_future()
            self._watch.waiting[self] = None
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _take_from_ring(self) -> bytes:
        watch, number = self._watch, self._number
        if watch is None or number is None:
            return b""
        if number < watch.base:
            # Too slow for the ring: read the log instead, from where the client is.
            self._number = None
            metrics.add(Metric.VIEWERS_BEHIND)
            return b""
        if number < watch.end and watch.frames[number - watch.base][0] <= self._after:
            # The reading was ahead of the ring when this viewer joined it: what it has read comes here once more.
            number = self._number = watch.number_after(self._after)
        if number == watch.end:
            return b""
        frames = watch.frames
        if self._awaits_text:
            self._time_first_text(frames, number - watch.base)
        piece = None if self._until_terminal and frames[-1][3] else watch.latest_from(number)
        if piece is not None:
            self._number = watch.end
            self._move_to(frames[-1])
            return piece
        pieces, size, index = [], 0, number - watch.base
        while index < len(frames) and size < self._hub.piece_bytes and not self.ended:
            frame = frames[index]
            self._move_to(frame)
            pieces.append(frame[2])
            size += len(frame[2])
            index += 1
        self._number = watch.base + index
        return b"".join(pieces)

    def _time_first_text(self, frames: Sequence[_Frame], index: int) -> None:
        """At the moment the text is handed to the connection: once for the viewer of a run, once a run for that of a thread."""
        for frame in frames[index:]:
            if frame[1] <= FIRST_SEQUENCES and _SHOWS.search(frame[2]):
                if self._until_terminal:
                    self._awaits_text = False
                    self._hub.show(token_at(self._filter, 2))
                    return
                run_id = _RUN_ID.search(frame[2])
                if run_id is not None:
                    self._hub.show(run_id.group(1).decode())

    async def _read(self) -> bytes:
        """The next piece of the log, empty where it has no more; at its end, this goes on with the ring if it can."""
        pieces: list[bytes] = []
        size = 0
        exhausted = False
        try:
            if self._peeked is not None:
                size += self._accept(self._peeked, pieces)
                self._peeked = None
            while size < self._hub.piece_bytes and not self.ended:
                entry = await anext(self._open_reader(), None)
                if entry is None:
                    exhausted = True
                    break
                size += self._accept(entry, pieces)
        except BusError as error:
            await self._close_reader()
            if not pieces:
                logger.warning("hub.read_failed", subject=self._filter, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                return b""
        if exhausted:
            await self._close_reader()
            await self._join(read_some=bool(pieces))
        return b"".join(pieces)

    def _accept(self, entry: Entry, pieces: list[bytes]) -> int:
        if self._left_out and token_at(entry.subject, 2) in self._left_out:
            self._after = entry.stream_sequence
            return 0
        frame = _encode(entry)
        self._move_to(frame)
        if self._until_terminal and self._awaits_text and _SHOWS.search(frame[2]):
            # It was there before this viewer was: how long that took says nothing.
            self._awaits_text = False
        pieces.append(frame[2])
        return len(frame[2])

    def _move_to(self, frame: _Frame) -> None:
        self._after = frame[0]
        self._cursor = frame[0], frame[1]
        self.ended = frame[3] and self._until_terminal

    def _open_reader(self) -> AsyncIterator[Entry]:
        if self._reader is None:
            watch = self._watch or self._hub.find(self._filter)
            if watch is not None:
                # What was stored before the watch began is in this reading, or nowhere.
                self._known_floor = max(self._known_floor, watch.begun_after)
            self._reader = self._hub.log.read(self._filter, after=self._after)
        return self._reader

    async def _join(self, *, read_some: bool) -> None:
        """The log had nothing above `_after` a moment ago: go on with the ring if it reaches back that far."""
        if self._watch is None:
            self._watch = self._hub.enter(self._filter, self._after)
        watch = self._watch
        reached = max(self._after, self._known_floor)
        if reached >= watch.floor:
            self._after, self._number, self._empty_reads = reached, watch.number_after(reached), 0
        elif read_some:
            self._empty_reads = 0
        elif self._empty_reads < LAG_ATTEMPTS:
            # The first time, the watch may have begun while this viewer read. After that a replica that lags answered,
            # since what the ring once had was stored.
            self._empty_reads += 1
            await asyncio.sleep(LAG_SECONDS if self._empty_reads > 1 else 0)
        else:
            # What the ring had is gone from the log (the thread was deleted): there is nothing left to wait for.
            self._known_floor = watch.floor

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if isinstance(reader, AsyncGenerator):
            with contextlib.suppress(BusError):
                await reader.aclose()
