"""A run that begins while a viewer looks whether there is anything of it yet is shown from its log, and not as one whose log
is gone."""

from collections.abc import AsyncIterator
from typing import Any

from bus.api import Entry, RunLog
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.subjects import run_subject
from contracts.usage import Usage
from gateway.adapters.run_feeds import Feeds
from gateway.domain.protocols.frame import FramePlace
from gateway.domain.protocols.openai_response_object import About
from gateway.domain.protocols.openai_responses import ResponsesMapping
from gateway.domain.records import Run

AT = "2026-11-21T03:17:47.123Z"
THREAD_ID, RUN_ID, MESSAGE_ID = new_id(THREAD), new_id(RUN), new_id(MESSAGE)
HEAD: dict[str, Any] = {"thread_id": THREAD_ID, "run_id": RUN_ID, "attempt": 1, "at": AT}
BEGINNING: list[e.RunEvent] = [
    e.RunStarted(**HEAD, sequence=1, message_id=MESSAGE_ID, model="m", path="durable_event"),
    e.StepStarted(**HEAD, sequence=2, step=1, kind="model", name="m"),
    e.TextDelta(**HEAD, sequence=3, part=0, delta="one "),
]
REST: list[e.RunEvent] = [
    e.TextDelta(**HEAD, sequence=4, part=0, delta="two "),
    e.RunCompleted(**HEAD, sequence=5, message_id=MESSAGE_ID, usage=Usage(), cost_microusd=None),
]


class JustEmpty:
    """A log that was empty when it was read first; right after that a worker wrote the beginning and its snapshot."""

    def __init__(self, inner: RunLog) -> None:
        self._inner = inner
        self._reads = 0
        self.last, self.follow, self.holder, self.append_command = (
            inner.last,
            inner.follow,
            inner.holder,
            inner.append_command,
        )

    async def begin(self) -> None:
        self._claim = await self._inner.claim(THREAD_ID, RUN_ID, worker="w", delivery="d", after=None)
        state = RunState(run_id=RUN_ID, thread_id=THREAD_ID)
        place = await self.write(BEGINNING)
        for event in BEGINNING:
            state.apply(event)
        snapshot = Snapshot(state=state, stream_sequence=place)
        await self._inner.snapshot(self._claim, len(BEGINNING), encode_snapshot(snapshot))

    async def write(self, events: list[e.RunEvent]) -> int:
        return [await self._inner.append(self._claim, event.sequence, e.encode_event(event)) for event in events][-1]

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        self._reads += 1
        if self._reads == 1:
            assert subject_filter == run_subject(THREAD_ID, RUN_ID, "event")
            await self.begin()
            return
        async for entry in self._inner.read(subject_filter, after=after):
            yield entry


async def shown(log: Any, run: Run) -> bytes:
    feeds = Feeds(log, piece_bytes=65_536)
    about = About(run_id=RUN_ID, model="m", created_at=AT)
    viewer = await feeds.counted(run, None, "responses", lambda: ResponsesMapping(about), FramePlace())
    if isinstance(log, JustEmpty):
        await log.write(REST)
    pieces = []
    while not viewer.ended:
        pieces.append(await viewer.take())
    await viewer.close()
    await feeds.close()
    return b"".join(pieces)


async def test_it_is_shown_from_its_log() -> None:
    broker = Broker()
    bus = MemoryBus("gateway-1", broker)
    run = Run(
        id=RUN_ID,
        thread_id=THREAD_ID,
        message_id=MESSAGE_ID,
        model="m",
        path="durable_event",
        status="generating",
        created_at=AT,
        ended_at="",
        usage=None,
        cost_microusd=None,
        error_code="",
        error_message="",
        final_sequence=0,
        attempts=1,
    )
    early = await shown(JustEmpty(bus.run_log), run)
    assert early.count(b'"sequence_number":0,') == 1
    assert early == await shown(bus.run_log, run)
    broker.close()
