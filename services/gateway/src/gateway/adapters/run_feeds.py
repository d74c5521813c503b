"""One follower per watched run, for the doors of client protocols: it decodes and folds each event once, and maps it once per
protocol. A viewer is an index into the frames, so a slow one costs nobody anything.

The frames of a watched run are kept until its last viewer leaves: a protocol that counts them may ask for any. That is some
200 bytes per event and protocol, for as long as somebody watches.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

import structlog
from bus.api import Entry, RunLog
from bus.errors import BusError
from contracts.cursor import Cursor
from contracts.events import ReasoningDelta, RunEvent, Source, TextDelta, ToolCall, decode_event, event_head
from contracts.run_state import GapError, RunState
from contracts.subjects import run_subject

from gateway.domain.protocols.frame import CountedMapping, FramePlace, Mapping, ResumableMapping, sse
from gateway.domain.records import Message, Run
from gateway.domain.stored_log import state_events, stored_events
from gateway.handlers.fold_run import fold_run

logger = structlog.get_logger()

RETRY_SECONDS: Final = 0.25


class Feeds:
    """`ports.RunFeeds` over one log. `piece_bytes` bounds what one write holds."""

    def __init__(self, log: RunLog, *, piece_bytes: int) -> None:
        self.log: Final = log
        self.piece_bytes: Final = piece_bytes
        self._feeds: dict[str, _Feed] = {}

    @property
    def watched(self) -> int:
        """How many runs are followed."""
        return len(self._feeds)

    @property
    def viewers(self) -> int:
        """How many read along, over all runs."""
        return sum(feed.viewers for feed in self._feeds.values())

    async def counted(
        self, run: Run, message: Message | None, protocol: Hashable, make: Callable[[], Mapping], place: FramePlace
    ) -> "_Viewer":
        """See ports.RunFeeds."""
        feed = await self._enter(run, message)
        try:
            projection = feed.projection(protocol, make)
            if isinstance(projection.mapping, CountedMapping) and (place.segment or place.skip > 0):
                place = projection.mapping.come_back(place)
            return _Viewer(self, feed, projection, place=place)
        except BaseException:
            self.leave(feed)
            raise

    async def resumed(
        self, run: Run, message: Message | None, protocol: Hashable, make: Callable[[], ResumableMapping]
    ) -> "_Viewer":
        """See ports.RunFeeds."""
        feed = await self._enter(run, message)
        try:
            projection = feed.projection(protocol, make)
            mapping = projection.mapping
            if not isinstance(mapping, ResumableMapping) or not feed.state.sequence:
                return _Viewer(self, feed, projection, place=FramePlace())
            prelude = b"".join(sse(frame) for frame in mapping.prelude(feed.state))
            return _Viewer(self, feed, projection, prelude=prelude, over=mapping.ended)
        except BaseException:
            self.leave(feed)
            raise

    def leave(self, feed: "_Feed") -> None:
        """Counts a viewer out; the last one stops the follower."""
        feed.viewers -= 1
        if feed.viewers == 0:
            self._feeds.pop(feed.run.id, None)
            feed.task.cancel()

    async def close(self) -> None:
        """Stop all followers."""
        tasks = [feed.task for feed in self._feeds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _enter(self, run: Run, message: Message | None) -> "_Feed":
        feed = self._feeds.get(run.id)
        if feed is None:
            feed = self._feeds[run.id] = _Feed(self.log, run, message)
        feed.viewers += 1
        try:
            await feed.wait_for_past()
        except BaseException:
            self.leave(feed)
            raise
        return feed


class _Projection:
    """A run in one protocol: all frames so far, and where each response among them ended."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping: Final = mapping
        self.frames = [sse(frame) for frame in mapping.opening()]
        self.ends: list[int] = []

    def add(self, event: RunEvent, cursor: str) -> None:
        frames = self.mapping.feed(event)
        if not frames:
            return
        last = len(frames) - 1
        self.frames += [sse(frame, cursor if index == last else "") for index, frame in enumerate(frames)]
        if self.mapping.ended:
            self.ends.append(len(self.frames))


class _Feed:
    """One run, folded as it goes."""

    def __init__(self, log: RunLog, run: Run, message: Message | None) -> None:
        self.run: Final = run
        self.viewers = 0
        self.state = RunState(run_id=run.id, thread_id=run.thread_id)
        self.waiting: dict[_Viewer, None] = {}
        self._log: Final = log
        self._message = message
        self._subject: Final = run_subject(run.thread_id, run.id, "event")
        self._events: list[tuple[RunEvent, str]] = []
        self._projections: dict[Hashable, _Projection] = {}
        self._position = 0
        self._made_anew = False
        self._past = asyncio.Event()
        self.task: Final = asyncio.create_task(self._run(), name=f"feed {run.id}")

    def over(self) -> bool:
        """Nothing more will come."""
        return self.state.is_terminal

    def projection(self, protocol: Hashable, make: Callable[[], Mapping]) -> _Projection:
        """The run in one protocol, mapped up to now."""
        found = self._projections.get(protocol)
        if found is None:
            mapping = make()
            if self._made_anew and isinstance(mapping, CountedMapping):
                mapping.made_anew(ended=self._message is not None)
            found = self._projections[protocol] = _Projection(mapping)
            for event, cursor in self._events:
                found.add(event, cursor)
        return found

    async def wait_for_past(self) -> None:
        """Until everything stored before the call is folded; raises what made that impossible."""
        past = asyncio.create_task(self._past.wait())
        try:
            await asyncio.wait([past, self.task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            past.cancel()
        if not self._past.is_set():
            self.task.result()

    async def _run(self) -> None:
        await self._read_past()
        self._past.set()
        while not self.over():
            try:
                async with self._log.follow(self._subject, after=self._position) as batches:
                    async for batch in batches:
                        for entry in batch:
                            self._add(entry)
                        self._notify()
                        if self.over():
                            return
            except BusError as error:
                logger.warning("feed.follow_failed", run_id=self.run.id, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _read_past(self) -> None:
        """The log so far; where it has lost its beginning or its end, what is stored instead."""
        begins = await self._read_log()
        if self.over():
            return
        if self._message is not None:
            self._made_anew = True
            self.state = RunState(run_id=self.run.id, thread_id=self.run.thread_id)
            self._events = []
            for event in stored_events(self.run, self._message):
                self._fold(event, "")
        elif not self.state.sequence:
            folded = await fold_run(self._log, self.run.thread_id, self.run.id)
            if folded is None:
                return
            if not begins and await self._read_log() == 1:
                # It was not lost, it had not begun: its frames are counted as everywhere.
                return
            self._made_anew = True
            self._position, self.state = folded.stream_sequence, folded.state
            self._events = [(_placed(event, folded.state), "") for event in state_events(folded.state)]

    async def _read_log(self) -> int:
        """Fold the log from its beginning, if it has that; the number of its first event, 0 for none."""
        begins = 0
        async for entry in self._log.read(self._subject, after=0):
            begins = begins or event_head(entry.data)[1]
            if begins != 1:
                break
            self._add(entry)
        return begins

    def _add(self, entry: Entry) -> None:
        self._position = entry.stream_sequence
        event = decode_event(entry.data)
        if event.sequence > self.state.sequence:
            self._fold(event, str(Cursor(entry.stream_sequence, event.sequence)))

    def _fold(self, event: RunEvent, cursor: str) -> None:
        try:
            self.state.apply(event)
        except GapError:
            logger.error("feed.gap", run_id=self.run.id, sequence=event.sequence, after=self.state.sequence)
            raise
        self._events.append((event, cursor))
        for projection in self._projections.values():
            projection.add(event, cursor)

    def _notify(self) -> None:
        waiting, self.waiting = self.waiting, {}
        for viewer in waiting:
            viewer.wake()


def _placed(event: RunEvent, state: RunState) -> RunEvent:
    """An event made from the folded state, with the sequence at which its part was opened: a retraction to come names such."""
    if isinstance(event, TextDelta | ReasoningDelta | ToolCall | Source):
        event.sequence = state.parts[event.part].opened_at
    return event


class _Viewer:
    """See ports.FrameViewer."""

    __slots__ = ("_begin", "_feed", "_feeds", "_index", "_over", "_prelude", "_projection", "_segment", "_waiter")

    def __init__(
        self,
        feeds: Feeds,
        feed: _Feed,
        projection: _Projection,
        *,
        place: FramePlace | None = None,
        prelude: bytes = b"",
        over: bool = False,
    ) -> None:
        self._feeds = feeds
        self._feed = feed
        self._projection = projection
        self._prelude = prelude
        self._over = over
        self._waiter: asyncio.Future[None] | None = None
        if place is None:
            # Behind the prelude: in the response that is open now, or the next one that opens.
            self._segment = len(projection.ends)
            self._begin = self._index = len(projection.frames)
        else:
            self._segment = place.segment
            self._begin = 0 if place.segment == 0 else self._end_of(place.segment - 1)
            skip = place.skip if place.skip >= 0 else max(0, self.total + place.skip)
            self._index = self._begin + skip

    @property
    def state(self) -> RunState:
        return self._feed.state

    @property
    def mapping(self) -> Mapping:
        return self._projection.mapping

    @property
    def total(self) -> int:
        return self._end_of(self._segment) - self._begin

    @property
    def taken(self) -> int:
        return self._index - self._begin

    @property
    def ended(self) -> bool:
        if self._prelude:
            return False
        if self._over:
            return True
        closed = len(self._projection.ends) > self._segment or self._feed.over()
        return closed and self._index >= self._end_of(self._segment)

    async def take(self) -> bytes:
        piece = self._next()
        if piece or self.ended:
            return piece
        if self._feed.task.done():
            # The follower has died of something else than the broker: its viewers cannot go on.
            self._feed.task.result()
        self._waiter = asyncio.get_running_loop().create_future()
        self._feed.waiting[self] = None
        self._feed.task.add_done_callback(self._follower_done)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._feed.waiting.pop(self, None)
            self._feed.task.remove_done_callback(self._follower_done)
        return self._next()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def close(self) -> None:
        self._feeds.leave(self._feed)

    def _follower_done(self, _: object) -> None:
        self.wake()

    def _end_of(self, segment: int) -> int:
        ends = self._projection.ends
        return ends[segment] if segment < len(ends) else len(self._projection.frames)

    def _next(self) -> bytes:
        prelude, self._prelude = self._prelude, b""
        if self._over:
            return prelude
        end = self._end_of(self._segment)
        frames, size = [prelude], len(prelude)
        while self._index < end and size < self._feeds.piece_bytes:
            piece = self._projection.frames[self._index]
            frames.append(piece)
            size += len(piece)
            self._index += 1
        return b"".join(frames)
