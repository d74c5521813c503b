"""Two workers and one run: deaths at every write, hand-overs, fences. The answer is whole, its words are there once."""

import asyncio
import time
from collections import Counter

import pytest
from contracts import events as e
from contracts.codes import RunFailure
from contracts.ids import new_id
from contracts.registry import Continuation
from contracts.run_state import RunState
from contracts.subjects import adopt_subject
from inference.adapters.bus_peers import BusPeers
from inference.domain.peers import PeerClaims
from inference.domain.upstream_errors import error_of_status

from tests.unit.inference.workers import PIECES, TEXT, DyingLog, FakeModels, Run, World, new_world

WRITES = 2 + 3 + 1 + len(PIECES) + 2 + 1 + 1 + 1
"""The most that one attempt writes: claim, three events, a snapshot, a delta a piece, usage, end of step, end, snapshot,
release."""


def check_ledger(state: RunState, events: list[e.RunEvent]) -> None:
    """One entry per call that the log knows of, and none for another."""
    started = {(event.attempt, event.step) for event in events if isinstance(event, e.StepStarted)}
    booked = Counter((entry.attempt, entry.step) for entry in state.ledger)
    assert booked == dict.fromkeys(started, 1)


async def check_whole(run: Run, text: str = TEXT) -> RunState:
    """Gapless, complete, said once, one end, one ledger entry per call, the final snapshot there, the claim given back."""
    state, events = await run.state(), await run.events()
    assert (state.status, state.content) == ("complete", text)
    assert [isinstance(event, e.Terminal) for event in events] == [False] * (len(events) - 1) + [True]
    check_ledger(state, events)
    assert await run.snapshot() == state
    holder = await run.bus.run_log.holder(run.command.thread_id, run.command.run_id)
    assert holder is not None
    assert holder.released
    return state


async def die_and_go_on(continuation: Continuation, writes: int, *, stored: bool) -> bool:
    """One worker dies at its `writes`-th write, another takes over. False when the first had finished before that."""
    async with new_world() as world:
        dying: list[DyingLog] = []

        def mortal(inner: object) -> DyingLog:
            dying.append(DyingLog(inner, writes, stored=stored))  # type: ignore[arg-type]  # the log that the world passes
            return dying[0]

        models = FakeModels()
        first = await world.worker(models, continuation=continuation, log=mortal)
        run = await world.run()
        dead = asyncio.create_task(dying[0].died.wait())
        ended = asyncio.create_task(run.settled())
        await asyncio.wait({dead, ended}, return_when=asyncio.FIRST_COMPLETED)
        died = dead.done()
        dead.cancel()
        if died:
            await world.worker(models, continuation=continuation)
            await first.bus.kill()
        await ended
        await check_whole(run)
        assert len(models.calls) <= 2
        return died


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("continuation", ["prefix", "retract"])
async def test_death_at_every_write(continuation: Continuation, stored: bool) -> None:
    deaths = await asyncio.gather(
        *(die_and_go_on(continuation, writes, stored=stored) for writes in range(1, WRITES + 1))
    )
    assert sum(deaths) >= 15


@pytest.mark.parametrize("continuation", ["prefix", "retract"])
async def test_two_deaths_in_a_row_at_every_pair_of_writes(continuation: Continuation) -> None:
    async def case(first: int, second: int) -> None:
        async with new_world() as world:
            models = FakeModels()
            run = await world.run()
            for writes in (first, second):
                logs: list[DyingLog] = []

                def mortal(inner: object, writes: int = writes, logs: list[DyingLog] = logs) -> DyingLog:
                    logs.append(DyingLog(inner, writes, stored=True))  # type: ignore[arg-type]  # the log that the world passes
                    return logs[0]

                worker = await world.worker(models, continuation=continuation, log=mortal)
                dead = asyncio.create_task(logs[0].died.wait())
                ended = asyncio.create_task(run.settled())
                await asyncio.wait({dead, ended}, return_when=asyncio.FIRST_COMPLETED)
                await worker.bus.kill()
                for task in (dead, ended):
                    task.cancel()
            await world.worker(models, continuation=continuation)
            await run.settled()
            await check_whole(run)

    pairs = [(first, second) for first in range(2, WRITES, 2) for second in range(2, WRITES, 3)]
    await asyncio.gather(*(case(first, second) for first, second in pairs))


async def test_a_worker_whose_death_is_doubtful_is_waited_for(world: World) -> None:
    """It is connecting again: what it works on is delivered to another one, which asks until it is back."""
    models = FakeModels(hold_at=12)
    first = await world.worker(models, patience=1000)
    run = await world.run()
    await models.held.wait()
    second = await world.worker(models, patience=1000)
    answer = world.broker.answers.pop(adopt_subject(first.bus.name))
    await world.broker.doubt(first.bus.name)
    await asyncio.sleep(0.2)
    world.broker.answers[adopt_subject(first.bus.name)] = answer
    models.go_on.set()
    await run.settled()
    state = await check_whole(run)
    assert (state.attempt, len(models.calls)) == (1, 1)
    assert second.claims.lost_since(first.bus.name) is None


async def test_one_that_is_surely_dead_is_not_waited_for_unless_it_answers(world: World) -> None:
    worker = await world.worker(FakeModels())
    claims = PeerClaims()
    peers = BusPeers(world.outside, claims, patience=1000)
    for name in ("dead-1", worker.bus.name):
        claims.lose(name, time.monotonic() - 1)
        assert await peers.adopt(name, new_id("run"), "reply", 1) == "no"
    assert claims.lost_since("dead-1") is not None
    assert claims.lost_since(worker.bus.name) is None


async def test_a_prefix_is_gone_on_from_and_a_retraction_takes_back(world: World) -> None:
    for continuation in ("prefix", "retract"):
        models = FakeModels(hold_at=12)
        first = await world.worker(models, continuation=continuation)
        run = await world.run()
        await models.held.wait()
        shown = (await run.until(lambda state: len(state.content) > 5)).content
        second = await world.worker(models, continuation=continuation)
        await first.bus.kill()
        models.go_on.set()
        await run.settled()
        await check_whole(run)
        retracted = [event for event in await run.events() if isinstance(event, e.TextRetracted)]
        assert models.calls[1].prefix == (shown if continuation == "prefix" else "")
        assert len(retracted) == (0 if continuation == "prefix" else 1)
        await second.bus.kill()


async def test_a_prefix_that_the_provider_refuses_is_taken_back(world: World) -> None:
    models = FakeModels(hold_at=12, refuse_prefix=error_of_status(400))
    first = await world.worker(models, continuation="prefix")
    run = await world.run()
    await models.held.wait()
    await run.until(lambda state: len(state.content) > 5)
    await world.worker(models, continuation="prefix")
    await first.bus.kill()
    models.go_on.set()
    await run.settled()
    state = await run.state()
    assert (state.status, state.content) == ("complete", TEXT)
    assert [bool(call.prefix) for call in models.calls] == [False, True, False]
    assert Counter(entry.attempt for entry in state.ledger) == {1: 1, 2: 1}


async def test_a_drained_worker_hands_over_what_it_cannot_finish(world: World) -> None:
    models = FakeModels(hold_at=12)
    first = await world.worker(models, continuation="prefix")
    run = await world.run()
    await models.held.wait()
    await run.until(lambda state: len(state.content) > 5)
    await world.worker(models, continuation="prefix")
    assert await first.drain() == 1
    assert models.calls[0].left
    models.go_on.set()
    await run.settled()
    state = await check_whole(run)
    assert state.attempt == 2


async def test_a_drained_worker_finishes_what_it_can(world: World) -> None:
    models = FakeModels(hold_at=12)
    first = await world.worker(models)
    run = await world.run()
    await models.held.wait()
    draining = asyncio.create_task(first.drain(grace=10))
    await asyncio.sleep(0.02)
    models.go_on.set()
    assert await draining == 0
    await run.settled()
    state = await check_whole(run)
    assert state.attempt == 1


async def test_a_delivery_that_was_on_its_way_is_handed_over_too(world: World) -> None:
    models = FakeModels(hold_at=12)
    first = await world.worker(models)
    first_run = await world.run()
    await models.held.wait()
    draining = asyncio.create_task(first.drain())
    await asyncio.sleep(0)
    late = await world.run()
    await draining
    models.go_on.set()
    await world.worker(models)
    for run in (first_run, late):
        await run.settled()
        assert (await run.state()).content == TEXT


async def test_fenced_out_while_the_model_speaks(world: World) -> None:
    slow = FakeModels(hold_at=12)
    first = await world.worker(slow)
    run = await world.run()
    await slow.held.wait()
    await run.until(lambda state: len(state.content) > 5)
    # The first worker does not answer any more, nor hear of claims: only the fence is left.
    world.broker.answers.clear()
    world.broker.streams["RUNS"].heard.clear()
    first.bus.stop_consuming()
    await world.worker(FakeModels())
    source = next(iter(world.broker.consumers.values()))
    for sequence in list(source.leases):
        source.nak(sequence, 0.0)
    await run.settled()
    before = await check_whole(run)
    slow.go_on.set()
    async with asyncio.timeout(5):
        while len(first.running):
            await asyncio.sleep(0)
    assert await run.state() == before
    assert slow.calls[0].left


async def test_a_worker_that_was_replaced_closes_its_call_before_it_writes(world: World) -> None:
    held = FakeModels(hold_at=12)
    first = await world.worker(held)
    run = await world.run()
    await held.held.wait()
    world.broker.answers.clear()  # stuck, as seen by the others
    await world.worker(FakeModels())
    await world.publish(run, copy=1)
    async with asyncio.timeout(5):
        while not held.calls[0].left:
            await asyncio.sleep(0)
        while len(first.running):
            await asyncio.sleep(0)
    assert not held.go_on.is_set()
    await run.settled()
    await check_whole(run)


async def test_three_attempts_that_die_before_a_word_are_poison(world: World) -> None:
    models = FakeModels(hold_at=0)
    run = await world.run()
    for _ in range(3):
        models.held.clear()
        worker = await world.worker(models)
        await models.held.wait()
        await worker.bus.kill()
    await world.worker(models)
    await run.settled()
    state = await run.state()
    assert (state.status, state.error_code, len(models.calls)) == ("error", RunFailure.POISON, 3)
    assert [entry.attempt for entry in state.ledger] == [1, 2, 3]


async def test_attempts_that_got_somewhere_are_no_poison(world: World) -> None:
    run = await world.run()
    for _ in range(4):
        models = FakeModels(hold_at=12)
        worker = await world.worker(models)
        await models.held.wait()
        await run.until(lambda state: len(state.content) > 5)
        await worker.bus.kill()
    await world.worker(FakeModels())
    await run.settled()
    await check_whole(run)


async def test_handed_over_before_a_word_is_no_poison(world: World) -> None:
    """Rolling restarts while the context cannot be had, or the provider is slow to begin."""
    models = FakeModels(hold_at=0)
    run = await world.run()
    for _ in range(5):
        models.held.clear()
        worker = await world.worker(models)
        await models.held.wait()
        await worker.drain()
        await worker.bus.drain()
    models.go_on.set()
    await world.worker(models)
    await run.settled()
    state = await check_whole(run)
    assert state.attempt == 6


async def test_cancelled_while_nobody_holds_it(world: World) -> None:
    models = FakeModels(hold_at=12)
    first = await world.worker(models)
    run = await world.run()
    await models.held.wait()
    await run.until(lambda state: len(state.content) > 5)
    await first.bus.kill()
    await run.cancel()
    await world.worker(models)
    await run.settled()
    state = await run.state()
    assert (state.status, len(models.calls)) == ("cancelled", 1)
    check_ledger(state, await run.events())
    assert TEXT.startswith(state.content)
    assert state.content
