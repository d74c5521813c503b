"""What an administrator sees of streams, consumers and processes; and heartbeats, which go by themselves."""

import asyncio
import time
from dataclasses import replace
from typing import Protocol, cast

from bus.api import Bus, Delivery, Done, Outcome
from bus.errors import UnavailableError
from bus.heartbeats import Heartbeats
from bus.jetstream import connect
from bus.key_values import Expiring
from bus.looking import Looking
from bus.memory import MemoryBus
from contracts import topology
from contracts.ids import RUN, new_id
from contracts.processes import KINDS, Heartbeat, decode_heartbeat
from contracts.subjects import PROCESS_VALUES, dead_letter_subject, execute_subject

from tests.servers import NatsServer

from .conftest import QUICK, QUICK_WORK


class World(Protocol):
    async def connect(self, instance: str) -> Bus: ...


async def heard(bus: Bus) -> list[Heartbeat]:
    found = bus.read_stream(topology.PROCESSES.name, PROCESS_VALUES)
    return [decode_heartbeat(entry.data) async for entry in found]


async def test_levels_of_streams_and_consumers(world: World) -> None:
    bus = cast(Looking, await world.connect("gateway"))
    level = await bus.consumer_level(QUICK_WORK)
    assert level is not None
    assert (level.pending, level.ack_pending, level.oldest_at) == (0, 0, None)
    began = time.time()
    for number in range(3):
        await bus.publish("quick.a", b"job", message_id=str(number))
    stream = await bus.stream_level(QUICK)
    assert stream is not None
    assert stream.messages == 3
    assert stream.bytes > 0
    in_hand, let_go = asyncio.Event(), asyncio.Event()

    async def hold(delivery: Delivery) -> Outcome:
        in_hand.set()
        await let_go.wait()
        return Done()

    consuming = asyncio.create_task(bus.consume(QUICK_WORK, hold, concurrency=1))
    await asyncio.wait_for(in_hand.wait(), 10)
    level = await bus.consumer_level(QUICK_WORK)
    assert level is not None
    assert level.ack_pending >= 1
    assert level.pending + level.ack_pending == 3
    if not isinstance(bus, MemoryBus) and level.pending:
        assert level.oldest_at is not None
        assert began - 5 < level.oldest_at < time.time() + 5
    let_go.set()
    bus.stop_consuming()
    await asyncio.wait_for(consuming, 10)
    unknown = topology.Consumer(name="nobody", stream=QUICK.name, filter="quick.>", why="It is not there.")
    assert await bus.consumer_level(unknown) is None


async def test_a_process_is_heard_until_it_says_that_it_goes(world: World) -> None:
    bus = cast(Expiring, await world.connect("inference.with.dots"))
    heartbeats = Heartbeats(bus, "inference", version="1.2.3", slots=lambda: (8, 3))
    await heartbeats.close()  # never begun
    heartbeats.start()
    async with asyncio.timeout(10):
        while not (found := await heard(bus)):
            await asyncio.sleep(0.01)
    (worker,) = found
    assert (worker.name, worker.kind, worker.version) == (bus.name, "inference", "1.2.3")
    assert (worker.slots, worker.slots_in_use, worker.gone) == (8, 3, False)
    assert worker.started_at <= worker.seen_at
    await heartbeats.close()
    assert [left.gone for left in await heard(bus)] in ([True], [])
    async with asyncio.timeout(10):
        while await heard(bus):
            await asyncio.sleep(0.05)


async def test_a_broker_that_is_away_stops_no_process() -> None:
    bus = MemoryBus("gateway-1")
    bus.reachable = False
    heartbeats = Heartbeats(bus, "gateway", version="1")
    heartbeats.start()
    await asyncio.sleep(0)
    await heartbeats.close()
    try:
        await bus.put("$KV.processes.x.y", b"", seconds=1)
    except UnavailableError:
        return
    raise AssertionError("the bus was to be away")


async def test_each_service_may_say_that_it_lives_and_only_conversation_sends_dead_letters_again(
    nats: NatsServer,
) -> None:
    kinds = KINDS
    buses = {kind: await connect(nats.url(kind), instance=kind) for kind in kinds}
    await buses["conversation"].reconcile()
    beating = [Heartbeats(buses[kind], kind, version="1") for kind in kinds]
    for heartbeats in beating:
        heartbeats.start()
    gateway, conversation = buses["gateway"], buses["conversation"]
    async with asyncio.timeout(10):
        while {process.kind for process in await heard(gateway)} != set(kinds):
            await asyncio.sleep(0.02)
    # What waits for a worker, and since when, the gateway sees; of every stream and consumer there is.
    command = execute_subject(new_id(RUN))
    await conversation.publish(command, b"{}", message_id="1")
    waiting = await gateway.consumer_level(topology.EXECUTE)
    assert waiting is not None
    assert waiting.pending == 1
    assert waiting.oldest_at is not None
    assert abs(time.time() - waiting.oldest_at) < 60
    for stream in topology.STREAMS:
        assert await gateway.stream_level(stream) is not None
    for consumer in topology.CONSUMERS:
        assert await gateway.consumer_level(consumer) is not None
    # A dead letter of each kind that can be sent again.
    headers = {"Everthread-Dead-Reason": "no"}
    subject = dead_letter_subject("COMMANDS", "inference-execute")
    await buses["inference"].publish(subject, b"{}", message_id="2", headers=headers)
    (letter,) = await conversation.desk.newest(5)
    thread, webhook, fact = "thr_" + "0" * 26, "whk_" + "0" * 26, "fct_" + "0" * 26
    for origin in (
        command,
        f"cmd.document.doc_{'0' * 26}.read",
        f"cmd.thread.{thread}.append",
        f"thread.{thread}.run.ended",
        f"timer.due.run.run_{'0' * 26}",
        f"webhook.due.{webhook}.{fact}",
    ):
        assert await conversation.desk.retry(replace(letter, subject=origin)) > 0
        await buses["inference"].publish(subject, b"{}", message_id=origin, headers=headers)
        (letter,) = await conversation.desk.newest(5)
    for heartbeats in beating:
        await heartbeats.close()
    for bus in buses.values():
        await bus.drain()
