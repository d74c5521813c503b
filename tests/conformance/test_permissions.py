"""Every service can do its work, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from bus.api import Delivery, Done, Outcome
from bus.errors import BusError
from bus.jetstream import JetStreamBus, connect
from bus.jetstream.api_calls import call_api
from bus.jetstream.client import NatsClient
from bus.jetstream.connection import Connection, connection_name
from bus.jetstream.requests import DeniedError, Requests
from bus.permissions import USERS
from contracts import topology
from contracts.ids import DEVICE, FACT, WEBHOOK, new_id
from contracts.subjects import (
    LIVE_CLAIMS,
    WEBHOOK_VALUES,
    adopt_subject,
    device_subject,
    device_subjects,
    due_subject,
    execute_subject,
    fact_subject,
    feed_subject,
    live,
    run_subject,
    thread_events_subject,
    timer_subject,
    webhook_result_subject,
    webhook_subject,
    webhook_work_subject,
)

from tests.servers import NatsServer

from .conftest import Run

USER_ID = "usr_" + "0" * 26


class Services:
    """A connection per service user."""

    def __init__(self, buses: dict[str, JetStreamBus]) -> None:
        self.gateway = buses["gateway"]
        self.conversation = buses["conversation"]
        self.inference = buses["inference"]
        self.notifier = buses["notifier"]
        self.app = buses["app"]


@pytest.fixture
async def services(nats: NatsServer) -> AsyncIterator[Services]:
    buses = {user: await connect(nats.url(user), instance=user) for user in USERS if user != "admin"}
    # At once: conversation creates, the others wait for it.
    await asyncio.gather(*(bus.reconcile() for user, bus in buses.items() if user != "app"))
    yield Services(buses)
    for bus in buses.values():
        await bus.drain()


class Bare:
    """A user that tries what its code would not."""

    def __init__(self, requests: Requests, connection: Connection) -> None:
        self.requests = requests
        self.connection = connection

    async def denied(self, subject: str) -> bool:
        try:
            await self.requests.ask(subject, b"{}", timeout=3)
        except DeniedError:
            return True
        return False


async def bare(nats: NatsServer, user: str) -> Bare:
    connection = Connection(NatsClient(), connection_name(user), f"_INBOX_{user}")
    await connection.open([nats.url(user)], 10)
    requests = Requests(connection)
    await requests.start()
    return Bare(requests, connection)


async def consume_one(bus: JetStreamBus, consumer: topology.Consumer) -> Delivery:
    got: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def take(delivery: Delivery) -> Outcome:
        if not got.done():
            got.set_result(delivery)
        return Done()

    consuming = asyncio.create_task(bus.consume(consumer, take, concurrency=1))
    try:
        return await asyncio.wait_for(got, 10)
    finally:
        bus.stop_consuming()
        await asyncio.wait_for(consuming, 10)


async def test_each_service_does_its_own_work(services: Services) -> None:
    run = Run(services.inference)
    subject = run_subject(run.thread_id, run.run_id, "event")
    await services.conversation.publish(execute_subject(run.run_id), b"{}", message_id="x1")
    assert (await consume_one(services.inference, topology.EXECUTE)).subject == execute_subject(run.run_id)
    async with services.inference.watch_live(LIVE_CLAIMS, lambda _: None):
        claim = await run.claim()
    async with services.gateway.run_log.follow(subject) as batches:
        await run.log.append(claim, 1, b"one")
        assert [entry.data for entry in await asyncio.wait_for(anext(batches), 10)] == [b"one"]
    async with services.app.run_log.follow(thread_events_subject(run.thread_id)) as batches:
        assert [entry.data for entry in await asyncio.wait_for(anext(batches), 10)] == [b"one"]
    await services.gateway.run_log.append_command(run.thread_id, run.run_id, b"stop", message_id="c1")
    await run.log.snapshot(claim, 1, b"snapshot")
    await run.log.release(claim)
    await services.inference.serve(adopt_subject("w1"), _echo)
    assert await services.inference.request(adopt_subject("w1"), b"yes", timeout=5) == b"yes"
    assert (await consume_one(services.conversation, topology.RECORD)).data == b"snapshot"
    await services.conversation.publish(fact_subject(run.thread_id, "run.ended"), b"{}", message_id="f1")
    assert (await consume_one(services.notifier, topology.FEED)).data == b"{}"
    await services.notifier.publish(feed_subject(USER_ID), b"entry", message_id="n1")
    async with services.gateway.follow_stream(topology.FEEDS.name, feed_subject(USER_ID)) as batches:
        assert [entry.data for entry in await asyncio.wait_for(anext(batches), 10)] == [b"entry"]
    await services.conversation.run_log.purge_thread(run.thread_id)


@pytest.mark.parametrize("user", ["inference", "conversation"])
async def test_timers_are_set_and_heard(services: Services, user: str) -> None:
    run = Run(services.inference)
    timer, due = timer_subject("run", run.run_id), due_subject("run", run.run_id)
    setter = getattr(services, user)
    await setter.schedule(timer, at=datetime.now(UTC) + timedelta(hours=1), target=due, data=b"later")
    await setter.unschedule(timer)
    await setter.schedule(timer, at=datetime.now(UTC), target=due, data=b"now")
    assert (await consume_one(services.conversation, topology.DUE)).data == b"now"


async def test_a_command_of_a_gateway_wakes_conversation(services: Services) -> None:
    run = Run(services.inference)
    await services.gateway.run_log.append_command(run.thread_id, run.run_id, b"yes", message_id="a1", after=0)
    assert (await consume_one(services.conversation, topology.WAKE)).data == b"yes"


async def test_people_and_receivers_who_are_not_watching_are_told(services: Services) -> None:
    webhook, event, device = new_id(WEBHOOK), new_id(FACT), new_id(DEVICE)
    gateway, notifier = services.gateway, services.notifier
    await gateway.publish(feed_subject(USER_ID), b"read", message_id="r1")
    revision = await gateway.compare_and_set(topology.WEBHOOKS.name, webhook_subject(webhook), b"made", expected=0)
    await notifier.compare_and_set(topology.WEBHOOKS.name, webhook_subject(webhook), b"hook", expected=revision)
    async with notifier.follow_stream(topology.WEBHOOKS.name, WEBHOOK_VALUES) as batches:
        assert [entry.data for entry in await asyncio.wait_for(anext(batches), 10)] == [b"hook"]
    consumer = topology.webhook_consumer(webhook)
    await notifier.reconcile(streams=(), consumers=(consumer,))
    for sender in (notifier, gateway):
        subject = webhook_work_subject(webhook, new_id(FACT))
        await sender.compare_and_set(topology.WEBHOOK_WORK.name, subject, b"due", expected=0)
    result = webhook_result_subject(webhook, event)
    await notifier.compare_and_set(topology.WEBHOOK_RESULTS.name, result, b"dead", expected=0)
    for user in (gateway, notifier):
        assert await user.last_of(topology.WEBHOOK_RESULTS.name, result) is not None
        last = await user.last_of(topology.WEBHOOK_WORK.name, webhook_work_subject(webhook))
        assert last is not None
        assert last.data == b"due"
    assert (await consume_one(notifier, consumer)).data == b"due"
    subject = device_subject(USER_ID, device)
    revision = await gateway.compare_and_set(topology.DEVICES.name, subject, b"browser", expected=0)
    await notifier.compare_and_set(topology.DEVICES.name, subject, b"", expected=revision)
    assert [entry.data async for entry in gateway.read_stream(topology.DEVICES.name, device_subjects(device))] == [b""]
    entry = await notifier.last_of(topology.FEEDS.name, feed_subject(USER_ID))
    assert entry is not None
    await notifier.erase(topology.FEEDS.name, entry.stream_sequence)


async def _echo(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("user", ["gateway", "notifier", "app"])
async def test_others_cannot_forge_events(services: Services, nats: NatsServer, user: str) -> None:
    run = Run(services.inference)
    intruder = await bare(nats, user)
    for entry in ("event", "claim", "snapshot"):
        assert await intruder.denied(run_subject(run.thread_id, run.run_id, entry))
    assert await intruder.denied(live(run_subject(run.thread_id, run.run_id, "event")))
    await intruder.connection.drain()
    await intruder.requests.stop()


@pytest.mark.parametrize("user", ["gateway", "conversation", "inference", "notifier", "app"])
async def test_nobody_deletes_streams_or_listens_to_others(services: Services, nats: NatsServer, user: str) -> None:
    intruder = await bare(nats, user)
    for call in ("STREAM.DELETE.RUNS", "STREAM.MSG.DELETE.RUNS", "CONSUMER.DELETE.COMMANDS.inference-execute"):
        assert await intruder.denied(f"$JS.API.{call}"), call
    # Conversation erases deleted threads; what it may purge, it may not delete.
    assert user == "conversation" or await intruder.denied("$JS.API.STREAM.PURGE.COMMANDS")
    sniffed: list[bytes] = []
    for subject in (">", "_INBOX_admin.>", "run.>", "cmd.>"):
        await intruder.connection.client.subscribe(subject)
        await intruder.connection.subscribe(subject, lambda message: sniffed.append(message.data))
    # The server has them, and has refused them, before there is something to hear.
    await intruder.connection.client.flush()
    await services.conversation.publish(execute_subject(Run(services.inference).run_id), b"secret", message_id="s1")
    await intruder.connection.client.flush()
    assert sniffed == []
    await intruder.connection.drain()
    await intruder.requests.stop()


async def test_a_denied_call_says_so_at_once(services: Services, nats: NatsServer) -> None:
    with pytest.raises(BusError, match="may not publish to"):
        await services.notifier.publish("cmd.run.x.execute", b"", message_id="1")
    intruder = await bare(nats, "gateway")
    with pytest.raises(DeniedError):
        await call_api(intruder.requests, "STREAM.CREATE.MINE", {"name": "MINE"})
    await intruder.connection.drain()
    await intruder.requests.stop()
