"""The real bus when things break: a restarted server, lost messages, lost acknowledgements, a killed client."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from bus.api import Delivery, Done, Entry, Outcome
from bus.errors import BusError, FencedError, UnavailableError
from bus.jetstream import JetStreamBus, connect
from bus.jetstream.client import Heard, Message, NatsClient
from bus.jetstream.connection import Connection, connection_name, inbox_prefix_of
from contracts import ids
from contracts.subjects import presence_subject, run_subject, thread_events_subject
from nats.aio.subscription import Subscription

from tests.servers import NatsServer

from .conftest import QUICK_WORK, RealWorld, Run


class LossyConnection(Connection):
    """A connection that loses the messages `loses` says."""

    def __init__(self, client: NatsClient, name: str, inbox_prefix: str) -> None:
        super().__init__(client, name, inbox_prefix)
        self.loses: Callable[[Message], bool] = lambda _: False
        self.lost = 0

    async def subscribe(self, subject: str, heard: Heard) -> Subscription:
        def deliver(message: Message) -> None:
            if self.loses(message):
                self.lost += 1
            else:
                heard(message)

        return await super().subscribe(subject, deliver)


async def lossy_bus(server: NatsServer) -> tuple[LossyConnection, JetStreamBus]:
    url = server.url()
    connection = LossyConnection(NatsClient(), connection_name("lossy"), inbox_prefix_of(url))
    await connection.open([url], 10)
    return connection, await JetStreamBus(connection).start()


async def take(batches: AsyncIterator[Sequence[Entry]], count: int) -> list[bytes]:
    data: list[bytes] = []
    while len(data) < count:
        data.extend(entry.data for entry in await asyncio.wait_for(anext(batches), 30))
    assert len(data) == count
    return data


def numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last + 1)]


async def test_a_gap_is_filled_from_the_stream(real_world: RealWorld) -> None:
    run = Run(await real_world.connect("worker"))
    connection, viewer = await lossy_bus(real_world.server)
    claim = await run.claim()
    connection.loses = lambda message: message.data in (b"3", b"4", b"7")
    async with viewer.run_log.follow(run_subject(run.thread_id, run.run_id, "event")) as batches:
        for number in range(1, 11):
            await run.log.append(claim, number, str(number).encode())
            if number == 2:
                assert await take(batches, 2) == numbers(1, 2)
        # The past, read at the first batch, has none of these: they come live, or not at all.
        connection.loses = lambda _: False
        assert await take(batches, 8) == numbers(3, 10)
    assert connection.lost == 3
    await viewer.drain()


async def test_a_lost_last_entry_is_found_by_the_heartbeat(real_world: RealWorld) -> None:
    run = Run(await real_world.connect("worker"))
    connection, viewer = await lossy_bus(real_world.server)
    claim = await run.claim()
    for subject in (run_subject(run.thread_id, run.run_id, "event"), thread_events_subject(run.thread_id)):
        place = await run.log.last(run_subject(run.thread_id, run.run_id, "event"))
        after = 0 if place is None else place.stream_sequence
        first = 1 if place is None else 3
        async with viewer.run_log.follow(subject, after=after) as batches:
            await run.log.append(claim, first, str(first).encode())
            assert await take(batches, 1) == numbers(first, first)
            connection.loses = lambda message: message.subject.startswith("live.")
            await run.log.append(claim, first + 1, str(first + 1).encode())
            assert await take(batches, 1) == numbers(first + 1, first + 1)
            connection.loses = lambda _: False
    await viewer.drain()


async def test_a_wildcard_finds_the_lost_end_of_one_run_behind_another(real_world: RealWorld) -> None:
    writer = await real_world.connect("worker")
    connection, viewer = await lossy_bus(real_world.server)
    one = Run(writer)
    other = Run(writer, thread_id=one.thread_id)
    first, second = await one.claim(), await other.claim()
    async with viewer.run_log.follow(thread_events_subject(one.thread_id)) as batches:
        await one.log.append(first, 1, b"one 1")
        assert await take(batches, 1) == [b"one 1"]
        connection.loses = lambda message: message.data == b"one 2" and message.subject.startswith("live.")
        await one.log.append(first, 2, b"one 2")
        await other.log.append(second, 1, b"other 1")
        assert await take(batches, 1) == [b"other 1"]
        assert await take(batches, 1) == [b"one 2"]
    await viewer.drain()


async def test_a_slow_viewer_gets_everything_with_bounded_memory(real_world: RealWorld) -> None:
    run = Run(await real_world.connect("worker"))
    viewer = await real_world.connect("gateway")
    claim = await run.claim()
    large = b"x" * 100_000
    async with viewer.run_log.follow(run_subject(run.thread_id, run.run_id, "event")) as batches:
        await run.log.append(claim, 1, b"1")
        assert await take(batches, 1) == [b"1"]
        for number in range(2, 202):
            await run.log.append(claim, number, large)
        await run.log.append(claim, 202, b"end")
        assert await take(batches, 201) == [large] * 200 + [b"end"]


async def test_a_lost_acknowledgement_stores_nothing_twice(real_world: RealWorld) -> None:
    await real_world.connect("other")
    connection, worker = await lossy_bus(real_world.server)
    run = Run(worker)
    claim = await run.claim()
    lost: list[bytes] = []
    cuts: list[asyncio.Task[None]] = []

    def loses_first(message: Message) -> bool:
        if not lost and message.subject.startswith("_INBOX"):
            lost.append(message.data)
            cuts.append(asyncio.create_task(connection.client.force_reconnect()))
            return True
        return False

    connection.loses = loses_first
    place = await worker.run_log.append(claim, 1, b"1")
    assert lost
    assert [entry.stream_sequence async for entry in worker.run_log.read("run.*.*.event")] == [place]
    lost.clear()
    place = await worker.run_log.append_together(claim, 2, [b"2", b"3"])
    assert lost
    stored = [entry async for entry in worker.run_log.read("run.*.*.event")]
    assert [entry.data for entry in stored] == [b"1", b"2", b"3"]
    assert stored[-1].stream_sequence == place
    lost.clear()
    again = await run.log.holder(run.thread_id, run.run_id)
    lost.clear()
    reclaimed = await worker.run_log.claim(run.thread_id, run.run_id, worker="worker", delivery="", after=again)
    assert lost
    assert len([entry async for entry in worker.run_log.read("run.*.*.claim")]) == 2
    lost.clear()
    await worker.run_log.release(reclaimed)
    with pytest.raises(FencedError):
        await worker.run_log.append(reclaimed, 4, b"4")
    await worker.drain()


async def test_appends_attached_viewers_and_work_survive_a_killed_server(real_world: RealWorld) -> None:
    writer, viewer = await real_world.connect("worker"), await real_world.connect("gateway")
    run = Run(writer)
    claim = await run.claim()
    done: list[bytes] = []

    async def handle(delivery: Delivery) -> Outcome:
        done.append(delivery.data)
        return Done()

    consuming = asyncio.create_task(writer.consume(QUICK_WORK, handle, concurrency=2))

    async def write() -> None:
        for number in range(1, 401, 4):
            await run.log.append(claim, number, str(number).encode())
            await run.log.append_together(claim, number + 1, numbers(number + 1, number + 3))
            await asyncio.sleep(0.008)

    async with viewer.run_log.follow(run_subject(run.thread_id, run.run_id, "event")) as batches:
        writing = asyncio.create_task(write())
        seen = await take_at_least(batches, 50)
        real_world.server.kill()
        publishing = asyncio.create_task(writer.publish("quick.a", b"during the outage", message_id="1"))
        await asyncio.sleep(0.5)
        assert not writer.connected
        assert not writing.done()
        real_world.server.start()
        while len(seen) < 400:
            seen.extend(await take_at_least(batches, 1))
        await writing
        await publishing
    assert seen == numbers(1, 400)
    assert [entry.data async for entry in viewer.run_log.read("run.*.*.event")] == numbers(1, 400)
    while not done:
        await asyncio.sleep(0.05)
    assert done == [b"during the outage"]
    writer.stop_consuming()
    await asyncio.wait_for(consuming, 10)


async def take_at_least(batches: AsyncIterator[Sequence[Entry]], count: int) -> list[bytes]:
    data: list[bytes] = []
    while len(data) < count:
        data.extend(entry.data for entry in await asyncio.wait_for(anext(batches), 30))
    return data


async def test_a_killed_client_is_announced(real_world: RealWorld) -> None:
    listener = await real_world.connect("worker")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_death(name: str) -> None:
        heard.put_nowait(name)

    await listener.on_disconnect(on_death)
    script = (
        "import asyncio\nfrom bus.jetstream import connect\n"
        "async def main():\n"
        f"    bus = await connect({real_world.server.url('inference')!r}, instance='inference-2')\n"
        "    print(bus.name, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        name = ""
        while not name.startswith("inference-2-"):
            line = await asyncio.to_thread(child.stdout.readline)
            assert line, "the child ended"
            name = line.strip()
        child.send_signal(signal.SIGKILL)
        assert await asyncio.wait_for(heard.get(), 10) == name
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


async def test_a_server_that_is_not_there_is_one_sentence(nats: NatsServer) -> None:
    nats.kill()
    with pytest.raises(UnavailableError, match=f"NATS at 127.0.0.1:{nats.port} does not answer"):
        await connect(nats.url(), instance="worker", budget=0.5)


async def test_a_wrong_password_is_one_sentence(nats: NatsServer) -> None:
    with pytest.raises(BusError, match="refuses this user"):
        await connect(f"nats://admin:wrong@127.0.0.1:{nats.port}", instance="worker", budget=5)


async def test_giving_up_after_the_budget_says_that_the_outcome_is_unknown(real_world: RealWorld) -> None:
    run_id = ids.new_id(ids.RUN)
    bus = await real_world.connect("worker")
    real_world.server.kill()
    assert await bus.request("worker.x.adopt", run_id.encode(), timeout=0.2) is None


async def test_streams_in_memory_are_there_again_after_the_server_was_killed(nats: NatsServer) -> None:
    bus = await connect(nats.url(), instance="conversation-1")
    await bus.reconcile()
    keeping = asyncio.create_task(bus.keep_reconciled())
    try:
        here = presence_subject(ids.new_id(ids.THREAD), ids.new_id(ids.USER), "gateway-1")
        await asyncio.sleep(0)
        nats.kill()
        nats.start()
        async with asyncio.timeout(60):
            while True:
                try:
                    await bus.put(here, b"{}", seconds=60)
                    break
                except BusError:
                    await asyncio.sleep(0.1)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await bus.drain()
