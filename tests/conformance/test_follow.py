"""Attach: nothing missing, nothing twice, in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from bus.api import Entry
from contracts import ids, topology
from contracts.subjects import LIVE_CLAIMS, feed_subject, run_subject, thread_events_subject

from .conftest import Run, World


async def take(batches: AsyncIterator[Sequence[Entry]], count: int) -> list[Entry]:
    entries: list[Entry] = []
    while len(entries) < count:
        entries.extend(await asyncio.wait_for(anext(batches), 10))
    assert len(entries) == count
    return entries


async def test_past_and_future_are_one_sequence(world: World) -> None:
    writer, viewer = await world.connect("worker"), await world.connect("gateway")
    run = Run(writer)
    claim = await run.claim()
    subject = run_subject(run.thread_id, run.run_id, "event")
    for number in range(1, 51):
        await run.log.append(claim, number, str(number).encode())

    async def write_on() -> None:
        for number in range(51, 301):
            await run.log.append(claim, number, str(number).encode())

    # Attaching while the writer goes on: the past overlaps with what arrives live.
    writing = asyncio.create_task(write_on())
    async with viewer.run_log.follow(subject) as batches:
        entries = await take(batches, 300)
    await writing
    assert [entry.data for entry in entries] == [str(number).encode() for number in range(1, 301)]
    places = [entry.stream_sequence for entry in entries]
    assert places == sorted(set(places))


async def test_attaching_after_a_place_gives_what_follows_it(world: World) -> None:
    bus = await world.connect("both")
    run = Run(bus)
    claim = await run.claim()
    subject = run_subject(run.thread_id, run.run_id, "event")
    places = [await run.log.append(claim, number, str(number).encode()) for number in (1, 2, 3)]
    async with bus.run_log.follow(subject, after=places[1]) as batches:
        assert [entry.data for entry in await take(batches, 1)] == [b"3"]
        await run.log.append(claim, 4, b"4")
        assert [entry.data for entry in await take(batches, 1)] == [b"4"]


async def test_a_wildcard_follows_many_runs_each_without_gap(world: World) -> None:
    writer, viewer = await world.connect("worker"), await world.connect("gateway")
    thread_id = ids.new_id(ids.THREAD)
    runs = [Run(writer, thread_id=thread_id) for _ in range(5)]

    async def write(run: Run, first: int, last: int) -> None:
        claim = await run.claim()
        for number in range(first, last):
            await run.log.append(claim, number, f"{run.run_id} {number}".encode())

    await asyncio.gather(*(write(run, 1, 20) for run in runs[:3]))
    async with viewer.run_log.follow(thread_events_subject(thread_id)) as batches:
        writing = asyncio.gather(*(write(run, 20, 40) for run in runs[:3]), *(write(run, 1, 40) for run in runs[3:]))
        entries = await take(batches, 5 * 39)
        await writing
    for run in runs:
        of_run = [entry.data for entry in entries if run.run_id in entry.subject]
        assert of_run == [f"{run.run_id} {number}".encode() for number in range(1, 40)]


async def test_waiting_for_the_next_batch_may_be_given_up_and_resumed(world: World) -> None:
    bus = await world.connect("both")
    run = Run(bus)
    claim = await run.claim()
    async with bus.run_log.follow(run_subject(run.thread_id, run.run_id, "event")) as batches:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(batches), 0.1)
        await run.log.append(claim, 1, b"1")
        assert [entry.data for entry in await take(batches, 1)] == [b"1"]


async def test_following_another_stream(world: World) -> None:
    bus = await world.connect("notifier")
    subject = feed_subject("usr_" + "0" * 26)
    await bus.publish(subject, b"1", message_id="f1")
    async with bus.follow_stream(topology.FEEDS.name, subject) as batches:
        await bus.publish(subject, b"2", message_id="f2")
        await bus.publish(subject, b"2", message_id="f2")
        assert [entry.data for entry in await take(batches, 2)] == [b"1", b"2"]


async def test_watching_live_hears_only_the_future(world: World) -> None:
    writer, watcher = await world.connect("worker"), await world.connect("other")
    before, run = Run(writer), Run(writer)
    await before.claim()
    heard: asyncio.Queue[Entry] = asyncio.Queue()
    async with watcher.watch_live(LIVE_CLAIMS, heard.put_nowait):
        # A round trip on the watcher's connection: its subscription stands.
        await watcher.run_log.holder(run.thread_id, run.run_id)
        claim = await run.claim()
        entry = await asyncio.wait_for(heard.get(), 10)
    assert entry.subject == run_subject(run.thread_id, run.run_id, "claim")
    assert entry.stream_sequence == claim.fence
    assert heard.empty()
