"""Dead letters as a person sees them: listed, and sent again."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
from bus.api import Delivery, Done, Outcome, Poison
from bus.errors import BusError
from bus.jetstream import JetStreamBus

from .conftest import QUICK_WORK, RealWorld


async def test_a_dead_letter_is_listed_and_sent_again_once(real_world: RealWorld) -> None:
    bus = await real_world.connect("worker")
    admin = cast(JetStreamBus, await real_world.connect("admin"))
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    well = False

    async def subscriber(delivery: Delivery) -> Outcome:
        if not well:
            return Poison("not today")
        heard.put_nowait(delivery.data)
        return Done()

    consuming = asyncio.create_task(bus.consume(QUICK_WORK, subscriber, concurrency=1))
    await bus.publish("quick.a", b"job", message_id="1", headers={"traceparent": "00-1"})
    async with asyncio.timeout(20):
        while not (letters := await admin.desk.newest(10)):
            await asyncio.sleep(0.02)
    (letter,) = letters
    assert (letter.reason, letter.consumer, letter.subject, letter.data) == (
        "not today",
        "quick-work",
        "quick.a",
        b"job",
    )
    assert letter.headers["traceparent"] == "00-1"
    well = True
    await admin.desk.retry(letter)
    assert await asyncio.wait_for(heard.get(), 20) == b"job"
    assert await admin.desk.newest(10) == []
    assert await admin.desk.letter(letter.id) is None
    bus.stop_consuming()
    await asyncio.wait_for(consuming, 20)
    with pytest.raises(BusError, match="run log"):
        await admin.desk.retry(replace(letter, stream="RUNS"))
