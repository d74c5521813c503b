"""Each fact once in its owner's feed, however late and by whomever it is delivered again; over the bus in memory."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from bus.api import Entry
from bus.errors import UnavailableError
from bus.memory import Broker, MemoryBus
from contracts.facts import FeedEntry
from contracts.ids import FACT, THREAD, USER, InvalidIdError, new_id
from contracts.subjects import feed_subject
from contracts.times import rfc3339
from contracts.topology import FEEDS
from notifier.adapters.jetstream_feeds import JetStreamFeeds

NOW = datetime(2026, 11, 21, 3, 17, 47, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Watched(MemoryBus):
    """Counts how often the feed was looked at."""

    looks = 0

    async def last_of(self, stream: str, subject_filter: str) -> Entry | None:
        self.looks += 1
        return await super().last_of(stream, subject_filter)


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.close()


def entry(age: float = 0.0, entry_id: str | None = None) -> FeedEntry:
    return FeedEntry(
        id=entry_id or new_id(FACT),
        type="thread.deleted",
        thread_id=new_id(THREAD),
        at=rfc3339(NOW - timedelta(seconds=age)),
    )


async def feed(broker: Broker, user: str) -> list[str]:
    bus = MemoryBus("reader", broker)
    last = await bus.last_of(FEEDS.name, feed_subject(user))
    ids: list[str] = []
    if last is not None:
        async with bus.follow_stream(FEEDS.name, feed_subject(user)) as batches:
            async for batch in batches:
                ids += [msgspec.json.decode(stored.data, type=FeedEntry).id for stored in batch]
                if batch[-1].stream_sequence >= last.stream_sequence:
                    break
    return ids


def forget_message_ids(broker: Broker) -> None:
    """The duplicate window has passed."""
    broker.streams[FEEDS.name].message_ids.clear()


async def test_a_young_fact_costs_one_publish(broker: Broker) -> None:
    user, bus = new_id(USER), Watched("notifier-1", broker)
    feeds, young = JetStreamFeeds(bus, Clock()), entry(age=5)
    assert await feeds.add(user, young)
    await feeds.add(user, young)
    assert await feed(broker, user) == [young.id]
    assert bus.looks == 0


@pytest.mark.parametrize("age", [60, 600, 86_400, -600], ids=["a minute", "ten minutes", "a day", "from the future"])
async def test_an_old_fact_is_looked_for(broker: Broker, age: float) -> None:
    user, old = new_id(USER), entry(age=age)
    assert await JetStreamFeeds(MemoryBus("notifier-1", broker), Clock()).add(user, old)
    forget_message_ids(broker)
    again = JetStreamFeeds(MemoryBus("notifier-2", broker), Clock())
    assert not await again.add(user, old)
    assert not await again.add(user, old)
    assert await feed(broker, user) == [old.id]


async def test_stored_when_young_delivered_again_when_old(broker: Broker) -> None:
    user, clock, fact = new_id(USER), Clock(), entry()
    feeds = JetStreamFeeds(MemoryBus("notifier-1", broker), clock)
    assert await feeds.add(user, fact)
    clock.now += timedelta(hours=1)
    forget_message_ids(broker)
    assert not await feeds.add(user, fact)
    assert await feed(broker, user) == [fact.id]


async def test_what_another_notifier_wrote_since_the_last_look_is_seen(broker: Broker) -> None:
    user = new_id(USER)
    one = JetStreamFeeds(MemoryBus("notifier-1", broker), Clock())
    two = JetStreamFeeds(MemoryBus("notifier-2", broker), Clock())
    old = [entry(age=600 + n) for n in range(6)]
    assert await one.add(user, old[0])
    for fact in old[1:]:
        assert await two.add(user, fact)
    forget_message_ids(broker)
    assert [await one.add(user, fact) for fact in old] == [False] * 6
    assert await feed(broker, user) == [fact.id for fact in old]


async def test_entries_of_one_user_keep_the_order_of_the_calls(broker: Broker) -> None:
    user = new_id(USER)
    feeds = JetStreamFeeds(MemoryBus("notifier-1", broker), Clock())
    facts = [entry(age=600 if n % 3 else 0) for n in range(30)]
    await asyncio.gather(*(feeds.add(user, fact) for fact in facts))
    assert await feed(broker, user) == [fact.id for fact in facts]


async def test_feeds_are_apart(broker: Broker) -> None:
    feeds = JetStreamFeeds(MemoryBus("notifier-1", broker), Clock())
    one, other = new_id(USER), new_id(USER)
    mine, theirs = entry(age=600), entry(age=600)
    await feeds.add(one, mine)
    await feeds.add(other, theirs)
    assert (await feed(broker, one), await feed(broker, other)) == ([mine.id], [theirs.id])


async def test_a_user_id_that_is_none_reaches_no_subject(broker: Broker) -> None:
    feeds = JetStreamFeeds(MemoryBus("notifier-1", broker), Clock())
    with pytest.raises(InvalidIdError):
        await feeds.add("*", entry())


async def test_an_entry_without_a_usable_time_counts_as_old(broker: Broker) -> None:
    user, bus = new_id(USER), Watched("notifier-1", broker)
    feeds = JetStreamFeeds(bus, Clock())
    for at in ("yesterday", "2026-11-21T03:17:47"):
        assert await feeds.add(user, msgspec.structs.replace(entry(), at=at))
    assert bus.looks == 2


async def test_away_is_said_and_then_made_good(broker: Broker) -> None:
    bus, user, fact = MemoryBus("notifier-1", broker), new_id(USER), entry()
    feeds = JetStreamFeeds(bus, Clock())
    bus.reachable = False
    with pytest.raises(UnavailableError):
        await feeds.add(user, fact)
    bus.reachable = True
    assert await feeds.add(user, fact)
    assert await feed(broker, user) == [fact.id]
