"""The notifier killed at random points over several hundred facts: no feed entry missing, none doubled."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import nats
from bus.jetstream import JetStreamBus
from contracts.facts import Fact, FeedEntry, MessageAccepted, RunEnded, ThreadDeleted, ThreadUpdated, encode_fact
from contracts.ids import FACT, MESSAGE, RUN, THREAD, USER, new_id
from contracts.subjects import dead_letter_subject, fact_subject, feed_subject
from contracts.times import rfc3339
from contracts.topology import DEAD_LETTERS, FEED, FEEDS, THREADS
from notifier.domain.feed import entry_of

FACTS = 400
KILLS = 8
USERS = [new_id(USER) for _ in range(8)]


class NotifierProcess(Protocol):
    async def start(self) -> None: ...
    def kill(self) -> None: ...
    async def stop(self) -> int: ...
    def log(self) -> str: ...


class BrokerAddress(Protocol):
    def url(self, user: str) -> str: ...


def some_fact(number: int, chance: random.Random) -> Fact:
    """Every kind, of every user; one in three so old that the duplicate window has long forgotten it."""
    age = timedelta(seconds=0 if number % 3 else chance.uniform(600, 100_000))
    head = {
        "id": new_id(FACT),
        "thread_id": new_id(THREAD),
        "user_id": chance.choice(USERS),
        "at": rfc3339(datetime.now(UTC) - age),
    }
    match number % 4:
        case 0:
            return ThreadUpdated(**head, changes={"title": f"thread {number}"})
        case 1:
            return MessageAccepted(
                **head, message_id=new_id(MESSAGE), assistant_message_id=new_id(MESSAGE), run_id=new_id(RUN)
            )
        case 2:
            return RunEnded(**head, run_id=new_id(RUN), message_id=new_id(MESSAGE), status="complete", preview="Yes")
        case _:
            return ThreadDeleted(**head)


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
                info = await client.jetstream().consumer_info(THREADS.name, FEED.name)
                if info.num_pending == 0 and info.num_ack_pending == 0:
                    return
                await asyncio.sleep(0.1)
    finally:
        await client.close()


async def test_killed_at_random_points(
    broker: BrokerAddress, bus: JetStreamBus, notifiers: list[NotifierProcess]
) -> None:
    chance = random.Random(2026)
    facts = [some_fact(number, chance) for number in range(FACTS)]
    # Some old facts were in their feeds before, stored longer ago than the broker remembers message ids.
    for fact in facts[::12]:
        entry = msgspec.json.encode(entry_of(fact, fact.user_id, watching=False))
        await bus.publish(feed_subject(fact.user_id), entry, message_id=f"{fact.id}:forgotten")
    publishing = asyncio.create_task(publish(bus, facts))
    # And some the relay publishes once more, after a crash between publishing and marking.
    await publish(bus, facts[::9], suffix=":again")
    first, second = notifiers
    await first.start()
    for kill in range(KILLS):
        target = min(FACTS, (kill + 1) * FACTS // (KILLS + 2) + chance.randrange(20))
        while len(await entries(bus)) < target and not (publishing.done() and kill == KILLS - 1):
            await asyncio.sleep(chance.uniform(0, 0.02))
        first.kill()
        first, second = second, first
        await first.start()
    await publishing
    await settled(broker, 60)
    expected = Counter((feed_subject(fact.user_id), fact.id) for fact in facts)
    found = Counter(await entries(bus))
    assert not expected - found, f"missing: {list((expected - found).items())[:3]}"
    assert not found - expected, f"doubled: {list((found - expected).items())[:3]}"
    assert await first.stop() == 0, first.log()


async def test_what_it_cannot_read_becomes_a_dead_letter_and_the_rest_goes_on(
    broker: BrokerAddress, bus: JetStreamBus, notifiers: list[NotifierProcess]
) -> None:
    notifier = notifiers[0]
    await notifier.start()
    thread = new_id(THREAD)
    await bus.publish(fact_subject(thread, "thread.exploded"), b'{"type":"thread.exploded"}', message_id="odd")
    good = some_fact(1, random.Random(1))
    await publish(bus, [good])
    await settled(broker, 30)
    assert await entries(bus) == [(feed_subject(good.user_id), good.id)]
    letter = await bus.last_of(DEAD_LETTERS.name, dead_letter_subject(FEED.stream, FEED.name))
    assert letter is not None
    assert letter.data == b'{"type":"thread.exploded"}'
    assert await notifier.stop() == 0, notifier.log()
