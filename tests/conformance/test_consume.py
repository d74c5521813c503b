"""Deliveries: outcomes, redelivery, hand-over, dead letters, limits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from bus.api import Bus, Delivery, Done, HandedOver, Outcome, Poison, RetryLater
from bus.errors import StreamFullError
from bus.letters import CONSUMER, REASON, SEQUENCE, SUBJECT
from contracts import ids, topology
from contracts.subjects import EXECUTE_ALL, dead_letter_subject, execute_subject

from .conftest import LETTERS, QUICK_WORK, World

Handler = Callable[[Delivery], Awaitable[Outcome]]


class Consuming:
    """`bus.consume` in the background, with a record of what was delivered."""

    def __init__(self, bus: Bus, handler: Handler, *, concurrency: int = 4) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self._handler = handler
        self._bus = bus
        self._task = asyncio.create_task(bus.consume(QUICK_WORK, self._record, concurrency=concurrency))

    async def _record(self, delivery: Delivery) -> Outcome:
        self.deliveries.put_nowait(delivery)
        return await self._handler(delivery)

    async def next(self) -> Delivery:
        return await asyncio.wait_for(self.deliveries.get(), 10)

    async def quiet_for(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.deliveries.get(), seconds)
        except TimeoutError:
            return True
        return False

    async def stop(self) -> None:
        self._bus.stop_consuming()
        await asyncio.wait_for(self._task, 10)


async def done(_: Delivery) -> Outcome:
    return Done()


async def test_done_is_done(world: World) -> None:
    bus = await world.connect("worker")
    await bus.publish("quick.a", b"1", message_id="1", headers={"X-Kind": "test"})
    consuming = Consuming(bus, done)
    delivery = await consuming.next()
    assert (delivery.subject, delivery.data, delivery.delivered) == ("quick.a", b"1", 1)
    assert delivery.headers["X-Kind"] == "test"
    assert await consuming.quiet_for(1.5)
    await consuming.stop()


async def test_publishing_the_same_id_twice_stores_once(world: World) -> None:
    bus = await world.connect("worker")
    first = await bus.publish("quick.a", b"1", message_id="same")
    assert await bus.publish("quick.a", b"1", message_id="same") == first
    consuming = Consuming(bus, done)
    await consuming.next()
    assert await consuming.quiet_for(0.3)
    await consuming.stop()


async def test_retry_later_comes_again(world: World) -> None:
    bus = await world.connect("worker")

    async def second_time(delivery: Delivery) -> Outcome:
        return RetryLater(0.2) if delivery.delivered == 1 else Done()

    await bus.publish("quick.a", b"1", message_id="1")
    consuming = Consuming(bus, second_time)
    first, second = await consuming.next(), await consuming.next()
    assert (first.delivered, second.delivered) == (1, 2)
    assert first.stream_sequence == second.stream_sequence
    assert await consuming.quiet_for(1.5)
    await consuming.stop()


async def test_an_exception_is_retried_and_stops_nothing(world: World) -> None:
    bus = await world.connect("worker")

    async def faulty(delivery: Delivery) -> Outcome:
        if delivery.delivered == 1 and delivery.data == b"bad":
            raise ValueError("cannot")
        return Done()

    await bus.publish("quick.a", b"bad", message_id="1")
    await bus.publish("quick.b", b"good", message_id="2")
    consuming = Consuming(bus, faulty)
    deliveries = [await consuming.next() for _ in range(3)]
    assert sorted((delivery.data, delivery.delivered) for delivery in deliveries) == [
        (b"bad", 1),
        (b"bad", 2),
        (b"good", 1),
    ]
    await consuming.stop()


async def test_poison_goes_to_the_dead_letters_with_its_reason(world: World) -> None:
    bus = await world.connect("worker")

    async def poison(_: Delivery) -> Outcome:
        return Poison("no such\nmodel")

    place = await bus.publish("quick.a", b"bad", message_id="1")
    async with dead_letters(bus) as letters:
        consuming = Consuming(bus, poison)
        await consuming.next()
        letter = await asyncio.wait_for(letters.get(), 10)
    assert letter.data == b"bad"
    assert letter.subject == dead_letter_subject("QUICK", "quick-work")
    assert letter.headers[REASON] == "no such model"
    assert (letter.headers[SUBJECT], letter.headers[SEQUENCE]) == ("quick.a", str(place))
    assert letter.headers[CONSUMER] == "quick-work"
    assert await consuming.quiet_for(1.5)
    await consuming.stop()


async def test_too_many_deliveries_end_in_the_dead_letters(world: World) -> None:
    bus = await world.connect("worker")

    async def never(_: Delivery) -> Outcome:
        return RetryLater(0.05)

    await bus.publish("quick.a", b"hopeless", message_id="1")
    async with dead_letters(bus) as letters:
        consuming = Consuming(bus, never)
        assert [(await consuming.next()).delivered for _ in range(2)] == [1, 2]
        letter = await asyncio.wait_for(letters.get(), 10)
    assert letter.data == b"hopeless"
    assert letter.headers[REASON] == "delivered 2 times without success"
    assert letter.headers[SUBJECT] == "quick.a"
    await bus.publish("quick.b", b"next", message_id="2")
    assert (await consuming.next()).data == b"next"
    await consuming.stop()


async def test_beats_hold_a_delivery_longer_than_its_lease(world: World) -> None:
    bus = await world.connect("worker")

    async def slow(_: Delivery) -> Outcome:
        await asyncio.sleep(2.5)
        return Done()

    await bus.publish("quick.a", b"long", message_id="1")
    consuming = Consuming(bus, slow)
    assert (await consuming.next()).delivered == 1
    assert await consuming.quiet_for(3.0)
    await consuming.stop()


async def test_handed_over_is_settled_by_whoever_adopted_it(world: World) -> None:
    """Five deliveries, one worker: the first handler works on, adopts the newer delivery, and its Done settles the item."""
    bus = await world.connect("worker")
    at_work: list[Delivery] = []
    adopted = asyncio.Event()

    async def handler(delivery: Delivery) -> Outcome:
        if at_work:
            at_work[0].adopt(delivery.reply)
            adopted.set()
            return HandedOver()
        at_work.append(delivery)
        await adopted.wait()
        # Longer than the lease of the delivery that was adopted.
        await asyncio.sleep(1.5)
        return Done()

    await bus.publish("quick.a", b"1", message_id="1")
    consuming = Consuming(bus, handler)
    first = await consuming.next()
    await bus.nak(first.reply)
    second = await consuming.next()
    assert (second.delivered, second.stream_sequence) == (2, first.stream_sequence)
    assert await consuming.quiet_for(3.0)
    await consuming.stop()
    assert at_work[0].reply == second.reply


@pytest.mark.parametrize("outcome", [Done(), RetryLater(0.05)], ids=["done", "retry"])
async def test_two_items_that_ask_for_the_same_are_settled_together(world: World, outcome: Outcome) -> None:
    bus = await world.connect("worker")
    at_work: list[Delivery] = []
    adopted, go_on = asyncio.Event(), asyncio.Event()

    async def handler(delivery: Delivery) -> Outcome:
        if delivery.delivered > 1:
            return Done()
        if at_work:
            at_work[0].adopt(delivery.reply, delivery.stream_sequence)
            adopted.set()
            return HandedOver()
        at_work.append(delivery)
        await go_on.wait()
        return outcome

    await bus.publish("quick.a", b"1", message_id="1")
    consuming = Consuming(bus, handler)
    first = await consuming.next()
    await bus.publish("quick.b", b"2", message_id="2")
    second = await consuming.next()
    await adopted.wait()
    assert at_work[0].replies == [first.reply, second.reply]
    assert await consuming.quiet_for(1.6), "both are beaten for, longer than a lease"
    go_on.set()
    if isinstance(outcome, RetryLater):
        again = [await consuming.next() for _ in range(2)]
        assert sorted((delivery.data, delivery.delivered) for delivery in again) == [(b"1", 2), (b"2", 2)]
    assert await consuming.quiet_for(1.5)
    await consuming.stop()


async def test_another_worker_gets_what_was_given_back(world: World) -> None:
    """What the other workers do for a dead one: they know the reply of its delivery."""
    dead, alive = await world.connect("dead"), await world.connect("alive")
    held: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def hold(delivery: Delivery) -> Outcome:
        held.set_result(delivery)
        return HandedOver()

    await dead.publish("quick.a", b"1", message_id="1")
    first = Consuming(dead, hold)
    delivery = await asyncio.wait_for(held, 10)
    await first.stop()
    second = Consuming(alive, done)
    await alive.nak(delivery.reply)
    assert (await second.next()).delivered == 2
    await alive.nak(delivery.reply)
    assert await second.quiet_for(1.5)
    await second.stop()


async def test_at_most_so_many_at_once(world: World) -> None:
    bus = await world.connect("worker")
    at_once = most = 0

    async def busy(_: Delivery) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return Done()

    for number in range(20):
        await bus.publish("quick.a", b"", message_id=str(number))
    consuming = Consuming(bus, busy, concurrency=3)
    deliveries = [await consuming.next() for _ in range(20)]
    await consuming.stop()
    assert most == 3
    assert {delivery.delivered for delivery in deliveries} == {1}


async def test_stopping_finishes_what_is_in_hand_and_leaves_the_rest(world: World) -> None:
    bus, other = await world.connect("worker"), await world.connect("other")
    finished: list[bytes] = []

    async def slow(delivery: Delivery) -> Outcome:
        await asyncio.sleep(0.2)
        finished.append(delivery.data)
        return Done()

    await bus.publish("quick.a", b"1", message_id="1")
    consuming = Consuming(bus, slow, concurrency=1)
    await consuming.next()
    await consuming.stop()
    assert finished == [b"1"]
    await other.publish("quick.a", b"2", message_id="2")
    taking_over = Consuming(other, done)
    delivery = await taking_over.next()
    assert (delivery.data, delivery.delivered) == (b"2", 1)
    await taking_over.stop()


async def test_a_full_stream_refuses_and_says_so(world: World) -> None:
    bus = await world.connect("worker")

    async def fill() -> None:
        for number in range(100):
            await bus.publish("small.a", b"x" * 100, message_id=str(number))

    with pytest.raises(StreamFullError):
        await fill()


async def test_requests_are_answered_or_not(world: World) -> None:
    one, other = await world.connect("one"), await world.connect("other")

    async def shout(data: bytes) -> bytes:
        return data.upper()

    await other.serve("worker.other.adopt", shout)
    await other.run_log.holder(ids.new_id(ids.THREAD), ids.new_id(ids.RUN))
    assert await one.request("worker.other.adopt", b"hello", timeout=5) == b"HELLO"
    assert await one.request("worker.nobody.adopt", b"hello", timeout=0.5) is None


async def test_deaths_are_announced_by_name(world: World) -> None:
    listener, leaver = await world.connect("listener"), await world.connect("leaver")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_death(name: str) -> None:
        heard.put_nowait(name)

    await listener.on_disconnect(on_death)
    await listener.run_log.holder(ids.new_id(ids.THREAD), ids.new_id(ids.RUN))
    await leaver.drain()
    assert await asyncio.wait_for(heard.get(), 10) == leaver.name


async def test_work_commands_reach_the_execute_consumer(world: World) -> None:
    bus = await world.connect("worker")
    run_id = ids.new_id(ids.RUN)
    got: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def take(delivery: Delivery) -> Outcome:
        got.set_result(delivery)
        return Done()

    consuming = asyncio.create_task(bus.consume(topology.EXECUTE, take, concurrency=1))
    await bus.publish(execute_subject(run_id), b"go", message_id=run_id)
    delivery = await asyncio.wait_for(got, 10)
    assert delivery.subject == execute_subject(run_id) == EXECUTE_ALL.replace("*", run_id)
    bus.stop_consuming()
    await asyncio.wait_for(consuming, 10)


@asynccontextmanager
async def dead_letters(bus: Bus) -> AsyncIterator[asyncio.Queue[Delivery]]:
    """What arrives on DEAD_LETTERS."""
    letters: asyncio.Queue[Delivery] = asyncio.Queue()

    async def keep(delivery: Delivery) -> Outcome:
        letters.put_nowait(delivery)
        return Done()

    reading = asyncio.create_task(bus.consume(LETTERS, keep, concurrency=1))
    yield letters
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
