"""Writing a run's log: one append in flight, what comes meanwhile joined into the next, no timer."""

import asyncio
from collections.abc import Callable

import structlog
from bus.api import MOST_TOGETHER, Claim, RunLog
from contracts.events import ReasoningDelta, RunEvent, TextDelta, encode_event
from contracts.run_state import RunState, Snapshot, encode_snapshot

from inference.domain.checkpoints import CheckpointSchedule
from inference.domain.pending import Barrier, Checkpoint, Item, JoinedDelta, Pending, Together
from inference.ports import Clock

logger = structlog.get_logger()

FULL = 256 * 1024
"""Characters that may wait before the reader is held back: a broker that is away must not fill the memory."""


class RunWriter:
    """Appends the events of one attempt. `text`, `reasoning`, `event` and `checkpoint` queue and return at once; `run` is
    the loop that stores them, in a task of its own, until cancelled. `state` is folded on as they are stored.

    Sequence numbers and times are given at the append, so that they are gapless whatever was joined. The first error ends
    the writing: `failure` holds it, `stored` raises it, `on_failure` is told, and what still waits was never
    shown to anybody.
    """

    def __init__(
        self,
        log: RunLog,
        claim: Claim,
        *,
        attempt: int,
        state: RunState,
        stream_sequence: int,
        clock: Clock,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._log, self._claim, self._attempt = log, claim, attempt
        self._state, self._stream_sequence, self._clock = state, stream_sequence, clock
        self._on_failure = on_failure
        self._pending = Pending()
        self._size = sum(len(part.value.text) for part in state.parts.values() if hasattr(part.value, "text"))
        self._schedule = CheckpointSchedule(self._size)
        self._wake: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self._is_over = False
        self.failure: Exception | None = None

    @property
    def stream_sequence(self) -> int:
        """Where the last stored event is."""
        return self._stream_sequence

    def text(self, part: int, delta: str, agent: str | None = None) -> None:
        """Queue text of the answer."""
        self._pending.add_delta(part, delta, reasoning=False, agent=agent)
        self._nudge()

    def reasoning(self, part: int, delta: str, agent: str | None = None) -> None:
        """Queue reasoning."""
        self._pending.add_delta(part, delta, reasoning=True, agent=agent)
        self._nudge()

    def event(self, event: RunEvent) -> None:
        """Queue an event; its `sequence`, `attempt` and `at` are set when it is appended."""
        self._pending.add(event)
        self._nudge()

    def together(self, events: list[RunEvent]) -> None:
        """Queue events that are stored all or not at all, as long as they are no more than the broker takes at once."""
        self._pending.add(Together(events))
        self._nudge()

    def checkpoint(self) -> None:
        """Queue a snapshot of everything before it."""
        self._pending.add(Checkpoint())
        self._nudge()

    @property
    def is_full(self) -> bool:
        """Whoever produces shall await `room`."""
        return self._pending.size > FULL

    async def room(self) -> None:
        """Return when half of what waited is stored, or the writing has failed."""
        if self.failure is None:
            self._room.clear()
            await self._room.wait()

    async def stored(self) -> None:
        """Return when everything queued so far is stored, whatever is queued meanwhile; raises the log's error when it will not
        be."""
        if not self._idle.is_set():
            passed = asyncio.Event()
            self._pending.add(Barrier(passed.set))
            await passed.wait()
        if self.failure is not None:
            raise self.failure

    async def run(self) -> None:
        """The loop. Ends only by cancellation or the log's first error."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                item = self._pending.take()
                if item is None:
                    self._idle.set()
                    self._wake = loop.create_future()
                    await self._wake
                    self._wake = None
                else:
                    await self._store(item)
        except Exception as error:  # noqa: BLE001 - whatever ends the writing must end the attempt, or it waits for ever
            self.failure = error
            self._on_failure(error)
        finally:
            self._is_over = True
            self._idle.set()
            self._room.set()
            while (item := self._pending.take()) is not None:
                if isinstance(item, Barrier):
                    item.tell()

    def _nudge(self) -> None:
        if not self._is_over:
            self._idle.clear()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _store(self, item: Item) -> None:
        if isinstance(item, Checkpoint):
            await self._snapshot()
            return
        if isinstance(item, Barrier):
            item.tell()
            return
        if isinstance(item, Together):
            for first in range(0, len(item.events), MOST_TOGETHER):
                await self._store_together(item.events[first : first + MOST_TOGETHER])
            return
        event = self._delta(item) if isinstance(item, JoinedDelta) else self._stamped(item, self._state.sequence + 1)
        stored_at = await self._log.append(self._claim, event.sequence, encode_event(event))
        self._state.apply(event)
        self._stream_sequence = stored_at
        if isinstance(item, JoinedDelta):
            self._size += item.size
            if not self._room.is_set() and self._pending.size < FULL // 2:
                self._room.set()
            if self._schedule.is_due(self._size):
                await self._snapshot()

    async def _store_together(self, events: list[RunEvent]) -> None:
        first = self._state.sequence + 1
        data = [encode_event(self._stamped(event, number)) for number, event in enumerate(events, start=first)]
        stored_at = await self._log.append_together(self._claim, first, data)
        for event in events:
            self._state.apply(event)
        self._stream_sequence = stored_at

    def _delta(self, item: JoinedDelta) -> TextDelta | ReasoningDelta:
        kind = ReasoningDelta if item.reasoning else TextDelta
        return kind(
            thread_id=self._claim.thread_id,
            run_id=self._claim.run_id,
            sequence=self._state.sequence + 1,
            attempt=self._attempt,
            at=self._clock.stamp(),
            part=item.part,
            delta=item.text,
            agent=item.agent,
        )

    def _stamped(self, event: RunEvent, sequence: int) -> RunEvent:
        event.sequence = sequence
        event.attempt = self._attempt
        event.at = self._clock.stamp()
        return event

    async def _snapshot(self) -> None:
        data = encode_snapshot(Snapshot(state=self._state, stream_sequence=self._stream_sequence))
        await self._log.snapshot(self._claim, self._state.sequence, data)
