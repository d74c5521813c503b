"""The notifier killed in the middle of its work: nothing missing in any feed, nothing doubled, no webhook untold."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import nats
from aiohttp import web
from bus.jetstream import JetStreamBus
from contracts.facts import Fact, FeedEntry, MessageAccepted, RunEnded, RunWaiting, ThreadUpdated, encode_fact
from contracts.ids import FACT, MESSAGE, RUN, THREAD, USER, new_id
from contracts.subjects import (
    ALL_WEBHOOK_WORK,
    dead_letter_subject,
    fact_subject,
    feed_subject,
    webhook_result_subject,
)
from contracts.times import rfc3339
from contracts.topology import DEAD_LETTERS, FEED, FEEDS, TELL, THREADS, WEBHOOK_RESULTS, WEBHOOK_WORK
from contracts.webhooks import EVENT_TYPES, decode_result
from gateway.adapters.feed_unread import FeedUnread
from notifier.domain.feed import entry_of, event_type_of
from standardwebhooks import Webhook as Verifier

from tests.integration.notifier.conftest import Notifier
from tests.integration.notifier.world import DEVELOPMENT, Got, Server, notices, ok, subscribe

FACTS = 1000
KILLS = 5
USERS = [new_id(USER) for _ in range(8)]
THREADS_OF_ALL = [new_id(THREAD) for _ in range(40)]


class BrokerAddress(Protocol):
    def url(self, user: str) -> str: ...


def some_fact(number: int, chance: random.Random) -> Fact:
    """Every kind, of every user; one in three so old that the duplicate window has long forgotten it."""
    age = timedelta(seconds=0 if number % 3 else chance.uniform(600, 100_000))
    head: dict[str, Any] = {
        "id": new_id(FACT),
        "thread_id": chance.choice(THREADS_OF_ALL),
        "user_id": (owner := chance.choice(USERS)),
        "audience": [owner, *chance.sample([user for user in USERS if user != owner], number % 3)],
        "at": rfc3339(datetime.now(UTC) - age),
    }
    match number % 4:
        case 0:
            return RunWaiting(
                **head, run_id=new_id(RUN), message_id=new_id(MESSAGE), wait_id="w", reason="input", prompt="Which?"
            )
        case 3:
            return ThreadUpdated(**head, changes={"title": f"thread {number}"})
        case 1:
            return MessageAccepted(
                **head, message_id=new_id(MESSAGE), assistant_message_id=new_id(MESSAGE), run_id=new_id(RUN)
            )
        case 2:
            return RunEnded(**head, run_id=new_id(RUN), message_id=new_id(MESSAGE), status="complete", preview="Yes")
        case _:
            raise AssertionError(number)


async def publish(bus: JetStreamBus, facts: Sequence[Fact], suffix: str = "") -> None:
    """As the relay does. With a suffix, as it would after the duplicate window had passed: stored a second time."""
    for fact in facts:
        subject = fact_subject(fact.thread_id, type(fact).__struct_config__.tag)  # type: ignore[arg-type]  # always a string
        await bus.publish(subject, encode_fact(fact), message_id=fact.id + suffix)


async def entries(bus: JetStreamBus) -> list[tuple[str, str]]:
    """`(subject, id)` of all that is in the feeds now."""
    last = await bus.last_of(FEEDS.name, ">")
    found: list[tuple[str, str]] = []
    if last is not None:
        async with bus.follow_stream(FEEDS.name, ">") as batches:
            async for batch in batches:
                found += [(stored.subject, msgspec.json.decode(stored.data, type=FeedEntry).id) for stored in batch]
                if batch[-1].stream_sequence >= last.stream_sequence:
                    break
    return found


async def settled(broker: BrokerAddress, seconds: float) -> None:
    """Wait until every fact is acknowledged, so that nothing can be delivered again."""
    client = await nats.connect(broker.url("admin"))
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = [await client.jetstream().consumer_info(THREADS.name, name) for name in (FEED.name, TELL.name)]
                if all(info.num_pending == 0 and info.num_ack_pending == 0 for info in found):
                    return
                await asyncio.sleep(0.1)
    finally:
        await client.close()


async def settled_webhooks(bus: JetStreamBus, seconds: float) -> None:
    """Wait until nothing is queued for any webhook."""
    async with asyncio.timeout(seconds):
        while await bus.last_of(WEBHOOK_WORK.name, ALL_WEBHOOK_WORK) is not None:
            await asyncio.sleep(0.1)


async def recount(bus: JetStreamBus, user: str) -> Counter[str]:
    """Unread by thread, counted over the whole feed by hand."""
    unread: Counter[str] = Counter()
    async for stored in bus.read_stream(FEEDS.name, feed_subject(user)):
        entry = msgspec.json.decode(stored.data, type=FeedEntry)
        if entry.type == "thread.deleted":
            del unread[entry.thread_id]
        unread[entry.thread_id] += entry.unread
    return +unread


async def test_killed_between_sending_and_recording(
    broker: BrokerAddress, bus: JetStreamBus, notifiers: list[Notifier]
) -> None:
    """1,000 events: no feed with a gap or a double, each webhook told of each at least once under one id, no unread count that
    differs from a recount."""
    chance = random.Random(2026)
    facts = [some_fact(number, chance) for number in range(FACTS)]
    receiver = Server()
    await receiver.start()
    first, second = notifiers
    killing, dead = {"left": KILLS, "at": 30}, asyncio.Event()

    async def kill_now_and_then(got: Got) -> web.Response:
        # The receiver has the event, and nobody is left to record it.
        if killing["left"] and len(receiver.got["one"]) >= killing["at"]:
            killing["left"] -= 1
            killing["at"] = len(receiver.got["one"]) + FACTS // (KILLS + 3)
            first.kill()
            dead.set()
        return await ok(got)

    receiver.answers["one"] = kill_now_and_then
    behind = notices(bus)
    try:
        hooks = [await subscribe(behind, f"{receiver.base}/{name}", *EVENT_TYPES) for name in ("one", "two")]
        for notifier in notifiers:
            notifier.environment = DEVELOPMENT | {"EVERTHREAD_WEBHOOK_SECONDS": "5"}
        # Some old facts were in their feeds before, stored longer ago than the broker remembers message ids.
        for fact in facts[::12]:
            for user in fact.told:
                entry = msgspec.json.encode(entry_of(fact, user, watching=False))
                await bus.publish(feed_subject(user), entry, message_id=f"{fact.id}:{user}:forgotten")
        publishing = asyncio.create_task(publish(bus, facts))
        # And some the relay publishes once more, after a crash between publishing and marking.
        await publish(bus, facts[::9], suffix=":again")
        await first.start()
        unread = FeedUnread(bus)
        for _ in range(KILLS):
            await asyncio.wait_for(dead.wait(), 60)
            dead.clear()
            await unread.unread(chance.choice(USERS))  # a gateway that folds as it goes
            first, second = second, first
            await first.start()
        await publishing
        await settled(broker, 60)
        await settled_webhooks(bus, 60)
    finally:
        await receiver.stop()

    expected = Counter((feed_subject(user), fact.id) for fact in facts for user in fact.told)
    found = Counter(await entries(bus))
    assert not expected - found, f"missing: {list((expected - found).items())[:3]}"
    assert not found - expected, f"doubled: {list((found - expected).items())[:3]}"

    ids = {fact.id for fact in facts}
    types = {fact.id: event_type_of(fact) for fact in facts}
    for hook, name in zip(hooks, ("one", "two"), strict=True):
        told = Counter(got.headers["webhook-id"] for got in receiver.got[name])
        assert told.keys() == ids
        # Sent again is only what a kill left unrecorded, or a machine that stood still for longer than a lease.
        assert sum(told.values()) < 1.2 * len(ids)
        for got in receiver.got[name]:
            event = Verifier(hook.secrets[0].value).verify(got.body, got.headers)
            assert event["type"] == types[got.headers["webhook-id"]]
        delivered = 0
        async for stored in bus.read_stream(WEBHOOK_RESULTS.name, webhook_result_subject(hook.id)):
            result = decode_result(stored.data)
            assert result.status == "delivered"
            delivered += 1
        assert delivered == len(ids)

    for user in USERS:
        counts = (await unread.unread(user)).counts
        assert counts == (await FeedUnread(bus).unread(user)).counts == dict(await recount(bus, user))
    assert await first.stop() == 0, first.log()


async def test_what_it_cannot_read_becomes_a_dead_letter_and_the_rest_goes_on(
    broker: BrokerAddress, bus: JetStreamBus, notifiers: list[Notifier]
) -> None:
    notifier = notifiers[0]
    await notifier.start()
    thread = new_id(THREAD)
    await bus.publish(fact_subject(thread, "thread.exploded"), b'{"type":"thread.exploded"}', message_id="odd")
    good = some_fact(1, random.Random(1))
    await publish(bus, [good])
    await settled(broker, 30)
    assert set(await entries(bus)) == {(feed_subject(user), good.id) for user in good.told}
    letter = await bus.last_of(DEAD_LETTERS.name, dead_letter_subject(FEED.stream, FEED.name))
    assert letter is not None
    assert letter.data == b'{"type":"thread.exploded"}'
    assert await notifier.stop() == 0, notifier.log()
