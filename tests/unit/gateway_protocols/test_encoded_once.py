"""However many watch a run through one door, each of its events is mapped and encoded once."""

import asyncio
from typing import Any

from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.usage import Usage
from gateway.adapters.run_feeds import Feeds
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.frame import Frame, FramePlace
from gateway.domain.records import Run

AT = "2026-11-21T03:17:47.123Z"
VIEWERS = 50


class Counting(AiSdkMapping):
    """Counts what it is asked to map."""

    made = 0
    fed = 0

    def __init__(self) -> None:
        super().__init__()
        Counting.made += 1

    def feed(self, event: e.RunEvent) -> list[Frame]:
        Counting.fed += 1
        return super().feed(event)


async def test_fifty_viewers_cost_one_mapping() -> None:
    Counting.made = Counting.fed = 0
    broker = Broker()
    bus = MemoryBus("gateway-1", broker)
    thread, run_id, message = new_id(THREAD), new_id(RUN), new_id(MESSAGE)
    claim = await bus.run_log.claim(thread, run_id, worker="w", delivery="d", after=None)
    written = 0

    async def write(kind: type[Any], /, **fields: Any) -> None:
        nonlocal written
        written += 1
        event = kind(thread_id=thread, run_id=run_id, sequence=written, attempt=1, at=AT, **fields)
        await bus.run_log.append(claim, written, e.encode_event(event))

    await write(e.RunStarted, message_id=message, model="m", path="durable_event")
    await write(e.StepStarted, step=1, kind="model", name="m")
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
    feeds = Feeds(bus.run_log, piece_bytes=65_536)
    viewers = [await feeds.counted(run, None, "ai_sdk", Counting, FramePlace()) for _ in range(VIEWERS)]

    async def whole(number: int) -> bytes:
        pieces = []
        while not viewers[number].ended:
            pieces.append(await viewers[number].take())
        return b"".join(pieces)

    watching = [asyncio.create_task(whole(number)) for number in range(VIEWERS)]
    for token in range(100):
        await write(e.TextDelta, part=0, delta=f"{token} ")
    await write(e.RunCompleted, message_id=message, usage=Usage(), cost_microusd=None)
    shown = await asyncio.gather(*watching)
    assert len(set(shown)) == 1
    assert shown[0].count(b'"text-delta"') == 100
    assert (Counting.made, Counting.fed) == (1, written)
    for viewer in viewers:
        await viewer.close()
    assert feeds.watched == 0
    await feeds.close()
    broker.close()
