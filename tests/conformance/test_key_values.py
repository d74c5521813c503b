"""Buckets: what everybody watches, and two who change it at once."""

import asyncio
from typing import Protocol, cast

import pytest
from bus.api import Bus
from bus.errors import RevisionConflictError
from bus.key_values import KeyValues
from contracts import topology
from contracts.ids import DEVICE, USER, new_id
from contracts.subjects import device_subject, flag_subject

FLAGS = topology.FLAGS.name
PATH = flag_subject("path")


class World(Protocol):
    async def connect(self, instance: str) -> Bus: ...


async def connected(world: World, instance: str) -> KeyValues:
    return cast(KeyValues, await world.connect(instance))


async def test_of_two_who_change_a_value_at_once_one_is_told(world: World) -> None:
    one, other = await connected(world, "gateway-1"), await connected(world, "gateway-2")
    first = await one.compare_and_set(FLAGS, PATH, b"first", expected=0)
    with pytest.raises(RevisionConflictError):
        await other.compare_and_set(FLAGS, PATH, b"too late", expected=0)
    outcomes = await asyncio.gather(
        one.compare_and_set(FLAGS, PATH, b"one", expected=first),
        other.compare_and_set(FLAGS, PATH, b"other", expected=first),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, RevisionConflictError) for outcome in outcomes) == 1
    last = await other.last_of(FLAGS, PATH)
    assert last is not None
    assert last.data in (b"one", b"other")
    assert last.stream_sequence in outcomes


async def test_whoever_watches_sees_the_value_and_every_change(world: World) -> None:
    writer, watcher = await connected(world, "gateway-1"), await connected(world, "gateway-2")
    revision = await writer.compare_and_set(FLAGS, PATH, b"0", expected=0)
    seen: list[bytes] = []
    async with watcher.follow_stream(FLAGS, PATH) as batches:
        for number in range(1, 20):
            revision = await writer.compare_and_set(FLAGS, PATH, str(number).encode(), expected=revision)
        async for batch in batches:
            seen += [entry.data for entry in batch]
            if len(seen) == 20:
                break
    assert seen == [str(number).encode() for number in range(20)]


async def test_every_revision_is_kept(world: World) -> None:
    bus = await connected(world, "gateway-1")
    revision = 0
    for number in range(5):
        revision = await bus.compare_and_set(FLAGS, PATH, str(number).encode(), expected=revision)
    assert [entry.data async for entry in bus.read_stream(FLAGS, PATH)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_the_values_of_a_bucket_are_read_at_once_however_many(world: World) -> None:
    bus = await connected(world, "gateway-1")
    devices, user, other = topology.DEVICES.name, new_id(USER), new_id(USER)
    assert await bus.values_of(devices, device_subject(user)) == []
    # More than one request to the broker brings.
    names = [new_id(DEVICE) for _ in range(1030)]
    for start in range(0, len(names), 103):
        await asyncio.gather(
            *(
                bus.compare_and_set(devices, device_subject(user, name), name.encode(), expected=0)
                for name in names[start : start + 103]
            )
        )
    first = (await bus.values_of(devices, device_subject(user, names[0])))[0]
    await bus.compare_and_set(devices, first.subject, b"new", expected=first.stream_sequence)
    await bus.compare_and_set(devices, device_subject(other, names[0]), b"another's", expected=0)
    found = await bus.values_of(devices, device_subject(user))
    assert {entry.subject: entry.data for entry in found} == {
        device_subject(user, name): b"new" if name == names[0] else name.encode() for name in names
    }
    assert len(found) == len(names)
