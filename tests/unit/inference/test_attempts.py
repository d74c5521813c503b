"""One run on one worker: its events, its ends, and what stops it."""

import asyncio
from collections.abc import Callable

import pytest
from bus.api import RunLog
from bus.errors import ConflictError, StreamFullError, UnavailableError
from contracts import events as e
from contracts.codes import RunFailure
from contracts.parts import ReasoningPart, TextPart
from contracts.run_state import RunState
from contracts.usage import Usage
from inference.domain.upstream_errors import error_of_status, incomplete, unavailable
from inference.handlers import carry_out_attempt, execute_run
from inference.ports import Generated

from tests.unit.inference.workers import (
    TEXT,
    USER,
    FailingLog,
    FakeModels,
    Run,
    World,
    tool_result,
)


def types(events: list[e.RunEvent]) -> list[str]:
    """The types, several deltas in a row as one."""
    found: list[str] = []
    for event in events:
        name = type(event).__struct_config__.tag
        assert isinstance(name, str)
        if not (found and found[-1] == name and name.endswith(".delta")):
            found.append(name)
    return found


def check_one_end(state: RunState, events: list[e.RunEvent]) -> None:
    """Exactly one terminal event, the last one, whose totals are those of the ledger."""
    ends = [event for event in events if isinstance(event, e.Terminal)]
    assert ends == [events[-1]]
    total = Usage()
    for entry in state.ledger:
        total = total + entry.usage
    assert ends[0].usage == total


async def test_an_answer_from_start_to_end(world: World) -> None:
    usage = Usage(input_tokens=9, output_tokens=8, cached_tokens=4)
    models = FakeModels(reasoning=["Hm. "], result=Generated(finish_reason="stop", usage=usage))
    await world.worker(models)
    run = await world.run()
    state = await run.ended()
    events = await run.events()
    assert types(events) == [
        "run.started",
        "attempt.started",
        "step.started",
        "reasoning.delta",
        "text.delta",
        "usage",
        "step.finished",
        "run.completed",
    ]
    check_one_end(state, events)
    assert (state.status, state.content, state.usage) == ("complete", TEXT, usage)
    assert state.message_parts == [ReasoningPart(text="Hm. "), TextPart(text=TEXT)]
    assert state.cost_microusd == 9 + 2 * 8
    assert await run.snapshot() == state
    assert len(models.calls) == 1


async def test_a_provider_that_never_counts_is_estimated(world: World) -> None:
    await world.worker(FakeModels())
    run = await world.run()
    state = await run.ended()
    assert [entry.usage.estimated for entry in state.ledger] == [True]
    assert state.usage.output_tokens == -(-len(TEXT.encode()) // 4)
    assert state.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("models", "code", "billed"),
    [
        (FakeModels(errors=[error_of_status(401)]), RunFailure.UPSTREAM_REJECTED, 0),
        (FakeModels(errors=[unavailable("is away")] * 3), RunFailure.UPSTREAM_UNAVAILABLE, 0),
        (FakeModels(errors=[incomplete("fell silent")], error_after=9), RunFailure.UPSTREAM_INCOMPLETE, 1),
        (FakeModels(result=Generated(finish_reason="stop", refusal="No.")), RunFailure.REFUSED, 1),
        (FakeModels(result=Generated(finish_reason="content_filter")), RunFailure.REFUSED, 1),
        (FakeModels(result=tool_result()), RunFailure.UPSTREAM_REJECTED, 1),
        (FakeModels(errors=[ValueError("a fault of ours")], error_after=9), RunFailure.INTERNAL, 1),
    ],
    ids=["rejected", "away", "broke_off", "refused", "filtered", "tool", "fault"],
)
async def test_what_fails_says_why_and_keeps_what_was_written(
    world: World, models: FakeModels, code: RunFailure, billed: int
) -> None:
    await world.worker(models)
    run = await world.run()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.error_code) == ("error", code)
    assert len(state.ledger) == billed
    assert TEXT.startswith(state.content)
    assert bool(state.content) == bool(billed)
    assert await run.snapshot() == state


async def test_a_call_of_which_nothing_was_shown_is_tried_again(world: World) -> None:
    models = FakeModels(errors=[unavailable("is away"), incomplete("broke off")])
    await world.worker(models)
    run = await world.run()
    state = await run.ended()
    assert (state.status, state.content, len(models.calls), len(state.ledger)) == ("complete", TEXT, 3, 1)


async def test_an_unknown_model_fails_the_run(world: World) -> None:
    await world.worker(FakeModels())
    state = await (await world.run(model="fake:gone")).ended()
    assert state.error_code == RunFailure.MODEL_UNKNOWN


async def test_a_deleted_thread_ends_the_run(world: World) -> None:
    world.inputs.gone = True
    await world.worker(FakeModels())
    state = await (await world.run()).ended()
    assert (state.error_code, state.ledger) == (RunFailure.ORPHANED, [])


async def test_the_run_waits_for_its_context(world: World) -> None:
    world.inputs.away = True
    await world.worker(FakeModels())
    run = await world.run()
    await run.until(lambda state: state.attempt == 1)
    while world.inputs.asked < 3:
        await asyncio.sleep(0.01)
    world.inputs.away = False
    assert (await run.ended()).status == "complete"


async def test_an_answer_that_is_too_long_ends_as_if_the_model_had_stopped(world: World) -> None:
    await world.worker(FakeModels(), max_answer_bytes=11)
    run = await world.run()
    state = await run.ended()
    assert state.status == "complete"
    assert TEXT.startswith(state.content)
    assert 11 < len(state.content) < len(TEXT)
    finished = [event for event in await run.events() if isinstance(event, e.StepFinished)]
    assert finished[0].finish_reason == "length"


async def test_a_broker_that_is_slow_holds_the_reader_back_and_loses_nothing(world: World) -> None:
    pieces = ["x" * 5000] * 300
    await world.worker(FakeModels(pieces=pieces), max_answer_bytes=10_000_000)
    run = await world.run()
    state = await run.ended()
    assert state.content == "".join(pieces)
    sizes = [len(event.delta) for event in await run.events() if isinstance(event, e.TextDelta)]
    assert max(sizes) <= 64 * 1024


async def test_cancelled_before_anybody_took_it(world: World) -> None:
    run = await world.run()
    await run.cancel()
    models = FakeModels()
    await world.worker(models)
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.cancelled_by, models.calls, state.ledger) == ("cancelled", USER, [], [])


async def test_cancelled_while_it_waits_for_its_context(world: World) -> None:
    world.inputs.away = True
    models = FakeModels()
    await world.worker(models)
    run = await world.run()
    await run.until(lambda state: state.attempt == 1)
    await run.cancel()
    state = await run.ended()
    assert (state.status, models.calls) == ("cancelled", [])


async def test_cancelled_in_the_middle_closes_the_call_and_books_it(world: World) -> None:
    models = FakeModels(hold_at=12)
    await world.worker(models)
    run = await world.run()
    await models.held.wait()
    await run.cancel()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert models.calls[0].left
    assert state.status == "cancelled"
    assert 0 < len(state.content) <= 12
    assert [entry.usage.estimated for entry in state.ledger] == [True]


async def test_cancelled_after_its_end_changes_nothing(world: World) -> None:
    await world.worker(FakeModels())
    run = await world.run()
    before = await run.ended()
    await run.cancel()
    await world.publish(run, copy=1)
    await run.settled()
    assert await run.state() == before


async def test_the_deadline_ends_a_call_that_goes_on(world: World) -> None:
    models = FakeModels(hold_at=12)
    await world.worker(models)
    run = await world.run(seconds=0.2)
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.error_code, models.calls[0].left, len(state.ledger)) == (RunFailure.DEADLINE, True, 1)


async def test_a_run_that_is_taken_after_its_deadline_fails_without_a_call(world: World) -> None:
    models = FakeModels()
    await world.worker(models)
    state = await (await world.run(seconds=-1)).ended()
    assert (state.error_code, models.calls) == (RunFailure.DEADLINE, [])


async def test_one_call_however_often_the_command_is_there(world: World) -> None:
    models = FakeModels(hold_at=12)
    await world.worker(models)
    await world.worker(models)
    run = await world.run(copies=5)
    await models.held.wait()
    await asyncio.sleep(1.6)  # longer than ack_wait: adopted deliveries must be beaten for
    models.go_on.set()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.content, state.attempt, len(models.calls)) == (TEXT, 1, 1)


def failing(error: Exception, first: int, last: int) -> Callable[[RunLog], RunLog]:
    return lambda inner: FailingLog(inner, error, first, last)


async def test_a_full_store_in_the_middle_fails_the_run_with_what_is_stored(world: World) -> None:
    # Six writes: started, attempt, step, snapshot, first text; the sixth is refused, later ones fit again.
    models = FakeModels()
    await world.worker(models, log=failing(StreamFullError("full"), 6, 6))
    run = await world.run()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.error_code, len(state.ledger)) == (RunFailure.LOG_FULL, 1)
    assert TEXT.startswith(state.content)
    assert state.content not in ("", TEXT)


@pytest.mark.parametrize(
    ("error", "write"),
    [(UnavailableError("away"), write) for write in range(1, 12)]
    + [(ConflictError("other bytes"), write) for write in (1, 4, 7, 10)]
    + [(RuntimeError("a fault of ours"), write) for write in (4, 6)],
)
async def test_a_broker_that_goes_away_delays_the_answer_and_doubles_no_word(
    world: World, write: int, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute_run, "UNAVAILABLE_RETRY", 0.01)
    await world.worker(FakeModels(), log=failing(error, write, write))
    run = await world.run()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.content) == ("complete", TEXT)
    calls = [event for event in await run.events() if isinstance(event, e.StepStarted)]
    assert len(state.ledger) == len(calls)


async def test_a_store_that_stays_full_is_tried_until_it_fits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute_run, "FULL_RETRY", 0.01)
    monkeypatch.setattr(carry_out_attempt, "LOG_FULL_RETRY", 0.01)
    await world.worker(FakeModels(), log=failing(StreamFullError("full"), 5, 12))
    run = await world.run()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.is_terminal
    assert TEXT.startswith(state.content)


async def test_a_command_that_cannot_be_read_is_poison(world: World) -> None:
    await world.worker(FakeModels())
    good = await world.run()
    subject = f"cmd.run.{good.command.run_id}.execute"
    for number, data in enumerate(
        [b"{", b"{}", _with(good, run_id="*"), _with(good, deadline_at="2026-11-21T00:00:00")]
    ):
        await world.outside.publish(subject, data, message_id=f"bad-{number}")
    await good.ended()
    letters = [entry async for entry in world.outside.read_stream("DEAD_LETTERS", "dead.>")]
    assert len(letters) == 4


def _with(run: Run, **changes: str) -> bytes:
    import msgspec

    return msgspec.json.encode(msgspec.to_builtins(run.command) | changes)
