"""A viewer who comes in the moment in which a run begins counts its frames as everybody else does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from bus.api import Entry
from bus.memory import Broker, MemoryBus
from bus.memory.run_log import MemoryRunLog
from contracts import events as e
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.topology import RUNS
from contracts.usage import Usage
from gateway.adapters.run_feeds import Feeds
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.frame import FramePlace
from gateway.domain.records import Run

AT = "2026-11-21T03:17:47.123Z"


class Beginning(MemoryRunLog):
    """Things happen right behind its first reading of events."""

    then: Callable[[], Awaitable[None]] | None = None

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        async for entry in super().read(subject_filter, after=after):
            yield entry
        then, self.then = self.then, None
        if then is not None:
            await then()


async def test_a_run_that_begins_as_it_is_looked_for_is_no_run_that_lost_its_beginning() -> None:
    broker = Broker()
    log = MemoryBus("inference-1", broker).run_log
    thread, run_id, message = new_id(THREAD), new_id(RUN), new_id(MESSAGE)
    claim = await log.claim(thread, run_id, worker="w", delivery="d", after=None)
    written = 0

    async def write(kind: type[Any], /, **fields: Any) -> None:
        nonlocal written
        written += 1
        event = kind(thread_id=thread, run_id=run_id, sequence=written, attempt=1, at=AT, **fields)
        await log.append(claim, written, e.encode_event(event))

    async def begin() -> None:
        await write(e.RunStarted, message_id=message, model="m", path="durable_event")
        await write(e.StepStarted, step=1, kind="model", name="m")
        for word in ("one ", "two ", "three "):
            await write(e.TextDelta, part=0, delta=word)

    run = Run(
        id=run_id,
        thread_id=thread,
        message_id=message,
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
    looked = Beginning(broker.streams[RUNS.name], lambda: True, released_for=600)
    looked.then = begin
    early, late = Feeds(looked, piece_bytes=65_536), Feeds(log, piece_bytes=65_536)
    first = await early.counted(run, None, "ai_sdk", AiSdkMapping, FramePlace())
    await write(e.RunCompleted, message_id=message, usage=Usage(), cost_microusd=None)
    second = await late.counted(run, None, "ai_sdk", AiSdkMapping, FramePlace())
    shown = []
    for viewer in (first, second):
        pieces = []
        while not viewer.ended:
            pieces.append(await viewer.take())
        shown.append(b"".join(pieces))
        await viewer.close()
    assert shown[0] == shown[1]
    assert shown[0].count(b'"text-delta"') == 3
    await early.close()
    await late.close()
    broker.close()
