"""What is erased is gone, and nothing else is; an entry with a life of its own goes by itself."""

import asyncio
from typing import cast

from bus.erasing import Erasing
from bus.key_values import Expiring
from contracts import ids, topology
from contracts.presence import Presence, decode_presence, encode_presence
from contracts.subjects import fact_subject, fact_subjects, presence_subject, presence_subjects

from .conftest import World

THREADS = topology.THREADS.name


async def test_a_purge_takes_what_the_filter_covers(world: World) -> None:
    bus = cast(Erasing, await world.connect("conversation-1"))
    gone, kept = ids.new_id(ids.THREAD), ids.new_id(ids.THREAD)
    for number, (thread_id, kind) in enumerate(
        [(gone, "thread.created"), (gone, "run.ended"), (gone, "run.ended"), (kept, "run.ended")]
    ):
        await bus.publish(fact_subject(thread_id, kind), b"{}", message_id=str(number))
    assert sorted(await bus.subjects_of(THREADS, fact_subjects(gone))) == [
        fact_subject(gone, "run.ended"),
        fact_subject(gone, "thread.created"),
    ]
    assert await bus.purge(THREADS, fact_subject(gone, "run.ended")) == 2
    assert await bus.subjects_of(THREADS, fact_subjects(gone)) == [fact_subject(gone, "thread.created")]
    assert await bus.purge(THREADS, fact_subjects(gone)) == 1
    assert await bus.purge(THREADS, fact_subjects(gone)) == 0
    assert await bus.subjects_of(THREADS, fact_subjects(gone)) == []
    assert [entry.subject async for entry in bus.read_stream(THREADS, "thread.>")] == [fact_subject(kept, "run.ended")]


async def test_a_purge_leaves_the_last_of_what_the_filter_covers(world: World) -> None:
    bus = cast(Erasing, await world.connect("conversation-1"))
    thread, other = ids.new_id(ids.THREAD), ids.new_id(ids.THREAD)
    kinds = ("thread.created", "run.ended", "message.accepted", "thread.updated")
    for kind in kinds:
        await bus.publish(fact_subject(thread, kind), kind.encode(), message_id=f"{kind} here")
        await bus.publish(fact_subject(other, kind), kind.encode(), message_id=f"{kind} there")
    assert await bus.purge(THREADS, fact_subjects(thread), keep=5) == 0
    assert await bus.purge(THREADS, fact_subjects(thread), keep=2) == 2
    left = [entry.data.decode() async for entry in bus.read_stream(THREADS, fact_subjects(thread))]
    assert left == list(kinds[2:])
    assert len([entry async for entry in bus.read_stream(THREADS, fact_subjects(other))]) == len(kinds)


async def test_one_entry_is_erased_and_its_neighbours_stay(world: World) -> None:
    bus = cast(Erasing, await world.connect("conversation-1"))
    subject = fact_subject(ids.new_id(ids.THREAD), "run.ended")
    places = [await bus.publish(subject, data, message_id=data.decode()) for data in (b"1", b"2", b"3")]
    await bus.erase(THREADS, places[1])
    await bus.erase(THREADS, places[1])
    assert [entry.data async for entry in bus.read_stream(THREADS, subject)] == [b"1", b"3"]


async def test_presence_expires_unless_it_is_said_again(world: World) -> None:
    bus = cast(Expiring, await world.connect("gateway-1"))
    thread_id, user_id = ids.new_id(ids.THREAD), ids.new_id(ids.USER)
    subject = presence_subject(thread_id, user_id, "gateway-1")
    for count in (1, 2):
        value = encode_presence(Presence(at="2026-01-01T00:00:00.000Z", connections=count))
        await bus.put(subject, value, seconds=1)

    async def there() -> list[int]:
        found = bus.read_stream(topology.PRESENCE.name, presence_subjects(thread_id))
        return [decode_presence(entry.data).connections async for entry in found]

    assert await there() == [2]
    async with asyncio.timeout(20):
        while await there():
            await asyncio.sleep(0.1)
