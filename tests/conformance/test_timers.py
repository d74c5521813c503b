"""Timers fire, are replaced and are forgotten; of two commands written after the same one, one is refused."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from bus.api import Bus, Delivery, Done, Outcome
from bus.errors import RevisionConflictError
from bus.jetstream import connect
from contracts import ids, topology
from contracts.subjects import ALL_DUE, due_subject, run_subject, timer_subject

from tests.servers import NatsServer

from .conftest import Run, World

TIMERS = topology.TIMERS.name


def seconds(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=number)


async def until_due(bus: Bus, count: int) -> list[tuple[str, bytes]]:
    seen: list[tuple[str, bytes]] = []
    async with asyncio.timeout(20):
        while len(seen) < count:
            seen = [(entry.subject, entry.data) async for entry in bus.read_stream(TIMERS, ALL_DUE)]
            await asyncio.sleep(0.02)
    return seen


async def test_a_timer_fires_once_and_then_is_gone(world: World) -> None:
    bus = await world.connect("inference-1")
    passed, soon = ids.new_id(ids.RUN), ids.new_id(ids.RUN)
    due = {run_id: due_subject("run", run_id) for run_id in (passed, soon)}
    await bus.schedule(timer_subject("run", passed), at=seconds(-60), target=due[passed], data=b"passed")
    await bus.schedule(timer_subject("run", soon), at=seconds(0.3), target=due[soon], data=b"soon")
    assert await bus.last_of(TIMERS, timer_subject("run", soon)) is not None
    assert sorted(await until_due(bus, 2)) == sorted([(due[passed], b"passed"), (due[soon], b"soon")])
    assert await bus.last_of(TIMERS, timer_subject("run", soon)) is None


async def test_a_timer_is_replaced_and_forgotten(world: World) -> None:
    bus = await world.connect("inference-1")
    kept, gone = ids.new_id(ids.RUN), ids.new_id(ids.RUN)
    await bus.schedule(timer_subject("run", gone), at=seconds(0.5), target=due_subject("run", gone), data=b"gone")
    await bus.schedule(timer_subject("run", kept), at=seconds(3600), target=due_subject("run", kept), data=b"late")
    await bus.schedule(timer_subject("run", kept), at=seconds(0.8), target=due_subject("run", kept), data=b"early")
    await bus.unschedule(timer_subject("run", gone))
    await bus.unschedule(timer_subject("run", gone))
    assert await until_due(bus, 1) == [(due_subject("run", kept), b"early")]
    assert await bus.last_of(TIMERS, timer_subject("run", kept)) is None


async def test_what_is_due_reaches_the_consumer(world: World) -> None:
    bus = await world.connect("conversation-1")
    run_id = ids.new_id(ids.RUN)
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(delivery: Delivery) -> Outcome:
        heard.put_nowait((delivery.subject, delivery.data))
        return Done()

    consuming = asyncio.create_task(bus.consume(topology.DUE, hear, concurrency=1))
    await bus.schedule(timer_subject("run", run_id), at=seconds(0.2), target=due_subject("run", run_id), data=b"now")
    assert await asyncio.wait_for(heard.get(), 20) == (due_subject("run", run_id), b"now")
    bus.stop_consuming()
    await asyncio.wait_for(consuming, 20)


async def test_a_timer_outlives_the_server(nats: NatsServer) -> None:
    bus = await connect(nats.url(), instance="inference-1")
    await bus.reconcile()
    run_id = ids.new_id(ids.RUN)
    await bus.schedule(timer_subject("run", run_id), at=seconds(1), target=due_subject("run", run_id), data=b"still")
    nats.kill()
    nats.start()
    assert await until_due(bus, 1) == [(due_subject("run", run_id), b"still")]
    await bus.drain()


async def test_of_two_commands_after_the_same_one_the_first_wins(world: World) -> None:
    one, other = await world.connect("gateway-1"), await world.connect("gateway-2")
    run = Run(one)
    outcomes = await asyncio.gather(
        *(
            bus.run_log.append_command(run.thread_id, run.run_id, data, message_id=data.decode(), after=0)
            for bus, data in ((one, b"yes"), (other, b"no"))
        ),
        return_exceptions=True,
    )
    places = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(places) == 1
    assert sum(isinstance(outcome, RevisionConflictError) for outcome in outcomes) == 1
    with pytest.raises(RevisionConflictError):
        await other.run_log.append_command(run.thread_id, run.run_id, b"late", message_id="late", after=0)
    place = await other.run_log.append_command(run.thread_id, run.run_id, b"next", message_id="n", after=places[0])
    last = await one.run_log.last(run_subject(run.thread_id, run.run_id, "command"))
    assert last is not None
    assert (last.data, last.stream_sequence) == (b"next", place)
