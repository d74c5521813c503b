"""Claims fence, appends are stored once, reads give what is stored."""

import asyncio
import time
from dataclasses import replace

import pytest
from bus.api import Claim, RunLog
from bus.errors import ClaimLostError, ConflictError, FencedError, StreamFullError
from bus.jetstream import connect
from bus.memory import Broker, MemoryBus
from contracts import ids, topology
from contracts.subjects import run_subject, thread_events_subject

from .conftest import RealWorld, Run, World


async def read(log: RunLog, subject_filter: str, after: int = 0) -> list[bytes]:
    return [entry.data async for entry in log.read(subject_filter, after=after)]


async def test_five_claims_at_once_have_one_winner(world: World) -> None:
    buses = [await world.connect(f"worker-{number}") for number in range(5)]
    run = Run(buses[0])
    results = await asyncio.gather(
        *(
            bus.run_log.claim(run.thread_id, run.run_id, worker=bus.name, delivery=f"d{number}", after=None)
            for number, bus in enumerate(buses)
        ),
        return_exceptions=True,
    )
    winners = [result for result in results if isinstance(result, Claim)]
    assert len(winners) == 1
    assert sum(isinstance(result, ClaimLostError) for result in results) == 4
    holder = await run.log.holder(run.thread_id, run.run_id)
    assert holder is not None
    assert (holder.worker, holder.attempt, holder.fence) == (winners[0].worker, 1, winners[0].fence)
    assert holder.delivery == f"d{[bus.name for bus in buses].index(holder.worker)}"
    assert not holder.released


async def test_a_zombie_is_fenced_from_everything_it_writes(world: World) -> None:
    zombie, successor = await world.connect("zombie"), await world.connect("successor")
    run = Run(zombie)
    old = await run.claim("zombie")
    await zombie.run_log.append(old, 1, b"kept")
    after = await successor.run_log.holder(run.thread_id, run.run_id)
    new = await successor.run_log.claim(run.thread_id, run.run_id, worker="successor", delivery="", after=after)
    assert new.attempt == 2
    with pytest.raises(FencedError):
        await zombie.run_log.append(old, 2, b"lost")
    with pytest.raises(FencedError):
        await zombie.run_log.snapshot(old, 2, b"lost")
    with pytest.raises(FencedError):
        await zombie.run_log.release(old)
    await successor.run_log.append(new, 2, b"taken over")
    assert await read(run.log, run_subject(run.thread_id, run.run_id, "event")) == [b"kept", b"taken over"]
    assert await run.log.last(run_subject(run.thread_id, run.run_id, "snapshot")) is None


async def test_a_repeated_append_is_stored_once_and_names_the_same_place(world: World) -> None:
    run = Run(await world.connect("worker"))
    claim = await run.claim()
    first = await run.log.append(claim, 1, b"one")
    await run.log.append(claim, 2, b"two")
    assert await run.log.append(claim, 1, b"one") == first
    assert await read(run.log, run_subject(run.thread_id, run.run_id, "event")) == [b"one", b"two"]


async def test_other_bytes_under_a_stored_sequence_are_refused_not_swallowed(world: World) -> None:
    run = Run(await world.connect("worker"))
    claim = await run.claim()
    await run.log.append(claim, 1, b"one")
    with pytest.raises(ConflictError):
        await run.log.append(claim, 1, b"something else")


async def test_events_that_belong_together_are_all_stored_or_none(world: World) -> None:
    zombie, successor = await world.connect("zombie"), await world.connect("successor")
    run = Run(zombie)
    subject = run_subject(run.thread_id, run.run_id, "event")
    claim = await run.claim("zombie")
    await zombie.run_log.append(claim, 1, b"1")
    async with successor.run_log.follow(subject) as batches:
        place = await zombie.run_log.append_together(claim, 2, [b"2", b"3", b"4"])
        last = await run.log.last(subject)
        assert last is not None
        assert (last.data, last.stream_sequence) == (b"4", place)
        assert await zombie.run_log.append_together(claim, 2, [b"2", b"3", b"4"]) == place
        assert await zombie.run_log.append_together(claim, 5, [b"5"]) == place + 1
        with pytest.raises(ConflictError):
            await zombie.run_log.append_together(claim, 5, [b"something else", b"6"])
        after = await successor.run_log.holder(run.thread_id, run.run_id)
        new = await successor.run_log.claim(run.thread_id, run.run_id, worker="successor", delivery="", after=after)
        with pytest.raises(FencedError):
            await zombie.run_log.append_together(claim, 6, [b"lost", b"lost too"])
        await successor.run_log.append(new, 6, b"6")
        with pytest.raises(FencedError):
            await zombie.run_log.append_together(claim, 2, [b"2", b"3", b"4"])
        seen: list[bytes] = []
        async with asyncio.timeout(20):
            while len(seen) < 6:
                seen.extend(entry.data for entry in await anext(batches))
    assert seen == await read(run.log, subject) == [b"1", b"2", b"3", b"4", b"5", b"6"]


async def test_a_full_log_takes_none_of_what_belongs_together(real_world: RealWorld) -> None:
    small = replace(topology.RUNS, max_bytes=4000)
    real = await real_world.connect("worker")
    admin = await connect(real_world.server.url(), instance="admin")
    await admin.reconcile(streams=(small,), consumers=())
    for bus in (real, MemoryBus("worker", Broker((small,), ()))):
        run = Run(bus)
        claim = await run.claim()
        with pytest.raises(StreamFullError):
            await run.log.append_together(claim, 1, [b"x" * 1500] * 3)
        assert await read(run.log, run_subject(run.thread_id, run.run_id, "event")) == []
        await run.log.append_together(claim, 1, [b"y", b"z"])
    await admin.drain()


async def test_a_snapshot_replaces_the_one_before(world: World) -> None:
    run = Run(await world.connect("worker"))
    claim = await run.claim()
    await run.log.snapshot(claim, 1, b"small")
    place = await run.log.snapshot(claim, 2, b"larger")
    subject = run_subject(run.thread_id, run.run_id, "snapshot")
    assert await read(run.log, subject) == [b"larger"]
    last = await run.log.last(subject)
    assert last is not None
    assert (last.data, last.stream_sequence) == (b"larger", place)


async def test_a_released_run_can_be_claimed_and_its_former_holder_is_fenced(world: World) -> None:
    run = Run(await world.connect("worker"))
    claim = await run.claim("worker-1")
    await run.log.release(claim)
    holder = await run.log.holder(run.thread_id, run.run_id)
    assert holder is not None
    assert holder.released
    with pytest.raises(FencedError):
        await run.log.append(claim, 1, b"too late")
    again = await run.claim("worker-2")
    assert again.attempt == 2
    await run.log.append(again, 1, b"goes on")
    assert await read(run.log, run_subject(run.thread_id, run.run_id, "claim"))


async def test_who_confirms_a_release_holds_nothing_and_knows_that_nobody_did(world: World) -> None:
    run = Run(await world.connect("worker"))
    await run.log.release(await run.claim("worker-1"))
    seen = await run.log.holder(run.thread_id, run.run_id)
    assert seen is not None
    place = await run.log.confirm_released(run.thread_id, run.run_id, after=seen)
    mark = await run.log.holder(run.thread_id, run.run_id)
    assert mark is not None
    assert (mark.released, mark.attempt, mark.fence) == (True, seen.attempt, place)
    assert place > seen.fence
    with pytest.raises(ClaimLostError):
        await run.log.confirm_released(run.thread_id, run.run_id, after=seen)
    claim = await run.claim("worker-2")
    assert claim.attempt == 2
    with pytest.raises(ClaimLostError):
        await run.log.confirm_released(run.thread_id, run.run_id, after=mark)


async def test_a_claim_after_an_outdated_look_is_lost(world: World) -> None:
    run = Run(await world.connect("worker"))
    await run.claim()
    with pytest.raises(ClaimLostError):
        await run.log.claim(run.thread_id, run.run_id, worker="late", delivery="", after=None)


async def test_a_command_is_stored_once_whoever_repeats_it(world: World) -> None:
    one, other = await world.connect("gateway-1"), await world.connect("gateway-2")
    run = Run(one)
    places = [
        await bus.run_log.append_command(run.thread_id, run.run_id, b"cancel", message_id=f"{run.run_id}:cancel")
        for bus in (one, other, one)
    ]
    assert len(set(places)) == 1
    assert await read(run.log, run_subject(run.thread_id, run.run_id, "command")) == [b"cancel"]


async def test_reading_starts_after_a_place_and_ends_at_the_end(world: World) -> None:
    run = Run(await world.connect("worker"))
    claim = await run.claim()
    places = [await run.log.append(claim, number, str(number).encode()) for number in range(1, 6)]
    subject = run_subject(run.thread_id, run.run_id, "event")
    assert await read(run.log, subject, after=places[2]) == [b"4", b"5"]
    assert await read(run.log, subject, after=places[4]) == []
    assert await read(run.log, run_subject(run.thread_id, ids.new_id(ids.RUN), "event")) == []


async def test_what_is_read_says_when_the_broker_stored_it(world: World) -> None:
    run = Run(await world.connect("worker"))
    subject = run_subject(run.thread_id, run.run_id, "event")
    before = time.time()
    claim = await run.claim()
    await run.log.append(claim, 1, b"1")
    after = time.time()
    found = [entry async for entry in run.log.read(run_subject(run.thread_id, run.run_id, "*"))]
    last = await run.log.last(subject)
    assert last is not None
    times = [entry.stored_at for entry in found]
    # The broker runs on this machine; it gives nanoseconds, of which microseconds are read.
    assert before - 0.001 <= times[0] <= times[1] == last.stored_at <= after + 0.001


async def test_reading_more_than_one_batch_keeps_order(world: World) -> None:
    run = Run(await world.connect("worker"))
    claim = await run.claim()
    for number in range(1, 1101):
        await run.log.append(claim, number, str(number).encode())
    expected = [str(number).encode() for number in range(1, 1101)]
    assert await read(run.log, run_subject(run.thread_id, run.run_id, "event")) == expected


async def test_purging_a_thread_leaves_the_others(world: World) -> None:
    bus = await world.connect("conversation")
    gone, kept = Run(bus), Run(bus)
    for run in (gone, kept):
        await run.log.append(await run.claim(), 1, b"text")
    await bus.run_log.purge_thread(gone.thread_id)
    await bus.run_log.purge_thread(gone.thread_id)
    assert await read(bus.run_log, thread_events_subject(gone.thread_id)) == []
    assert await gone.log.holder(gone.thread_id, gone.run_id) is None
    assert await read(bus.run_log, thread_events_subject(kept.thread_id)) == [b"text"]
