"""Runs of several steps on one worker: tools, their errors, limits, cancellation."""

import msgspec
import pytest
from contracts import events as e
from contracts.codes import RunFailure
from contracts.parts import Part, ToolCallPart
from contracts.run_state import RunState
from inference.agents.domain.config import Agents

from tests.unit.inference.scripted import INPUT_TOKENS, ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import FakeModels, Run, World
from tests.upstream import expected_text

AGENTS = agents_of()


async def begin(
    world: World, content: str, *, agents: Agents = AGENTS, agent: str = ""
) -> tuple[Run, ScriptedModels, ToolCalls]:
    models, calls = ScriptedModels(), ToolCalls()
    world.inputs.content = content
    await world.worker(models, agents=agents, tools=ToolsByHand(calls.tools(world.clock.now), agents))
    return await world.run(agent=agent), models, calls


def calls_in(state: RunState) -> list[ToolCallPart]:
    return [part for part in state.message_parts if isinstance(part, ToolCallPart)]


def shape(parts: list[Part]) -> list[str]:
    return [part.name if isinstance(part, ToolCallPart) else type(part).__name__ for part in parts]


async def test_tools_in_parallel_and_the_answer_after_them(world: World) -> None:
    content = 'tokens=3 call=note:{"text":"a"} call=note:{"text":"b"} then call=note:{"text":"c"} then tokens=4 seed=2'
    run, models, calls = await begin(world, content)
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.content) == ("complete", expected_text(content))
    assert shape(state.message_parts) == ["TextPart", "note", "note", "note", "TextPart"]
    assert [call.output for call in calls_in(state)] == [{"noted": text} for text in "abc"]
    assert len({call.tool_call_id for call in calls_in(state)}) == 3
    assert all(call.started_at and call.ended_at and call.state == "completed" for call in calls_in(state))
    run_id = run.command.run_id
    assert sorted(calls.keys) == [f"{run_id}:2", f"{run_id}:3", f"{run_id}:5"]
    assert [(step.kind, step.finish_reason) for step in state.steps] == [
        ("model", "tool_calls"),
        ("tool", None),
        ("tool", None),
        ("model", "tool_calls"),
        ("tool", None),
        ("model", "stop"),
    ]
    assert state.usage.input_tokens == 3 * INPUT_TOKENS
    assert state.usage.output_tokens == 7
    assert state.cost_microusd == 3 * INPUT_TOKENS + 2 * 7
    last = models.calls[-1].messages
    assert [message.role for message in last] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    assert last[1].content == expected_text("tokens=3")
    assert await run.snapshot() == state


async def test_the_log_of_a_tool_call(world: World) -> None:
    run, _, _ = await begin(world, 'call=note:{"text":"a"} then tokens=1')
    await run.ended()
    names = [type(event).__name__ for event in await run.events()]
    assert names == [
        "RunStarted",
        "AttemptStarted",
        "StepStarted",
        "ToolCall",
        "UsageReported",
        "StepFinished",
        "StepStarted",
        "ToolProgress",
        "ToolResult",
        "StepFinished",
        "StepStarted",
        "TextDelta",
        "UsageReported",
        "StepFinished",
        "RunCompleted",
    ]
    started = [event for event in await run.events() if isinstance(event, e.StepStarted)]
    assert [(event.kind, event.tool_call_id) for event in started] == [
        ("model", None),
        ("tool", "call_0"),
        ("model", None),
    ]
    assert started[0].context["input_tokens"] > 0
    assert started[0].context["window"] == 8192


async def test_a_tool_that_fails_is_told_to_the_model(world: World) -> None:
    run, models, _ = await begin(world, "call=fail:{} call=nothing:{} then tokens=2")
    state = await run.ended()
    assert state.status == "complete"
    assert [(call.state, bool(call.error)) for call in calls_in(state)] == [("error", True)] * 2
    assert [part.failure for part in state.parts.values()][:2] == ["failed", "unknown_tool"]
    results = [message.content for message in models.calls[1].messages if message.role == "tool"]
    assert results[0] == "Error: It is broken."


@pytest.mark.parametrize("wrong", ['call=note:{"txt":1}', "call=note:{broken", "call=nothing:{}"])
async def test_wrong_arguments_go_back_twice_then_the_run_fails(world: World, wrong: str) -> None:
    run, models, calls = await begin(world, f"{wrong} then {wrong} then {wrong} then tokens=1")
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.error_code, len(models.calls), calls.keys) == (RunFailure.TOOL_FAILED, 3, [])


async def test_arguments_that_get_right_count_anew(world: World) -> None:
    wrong, right = "call=note:{}", 'call=note:{"text":"x"}'
    run, _, calls = await begin(world, f"{wrong} then {wrong} then {right} then {wrong} then {wrong} then tokens=1")
    assert (await run.ended()).status == "complete"
    assert len(calls.keys) == 1


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ("steps = 2", RunFailure.STEP_LIMIT),
        ("tokens = 100", RunFailure.TOKEN_LIMIT),
        ("cost_microusd = 60", RunFailure.COST_LIMIT),
    ],
)
async def test_limits_end_the_run(world: World, limits: str, code: RunFailure) -> None:
    agents = agents_of(small=f'tools = ["*"]\n[limits]\n{limits}')
    content = 'tokens=24 call=note:{"text":"a"} then call=note:{"text":"b"} call=note:{"text":"c"} then tokens=90'
    run, _, _ = await begin(world, content, agents=agents, agent="small")
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.error_code == code
    assert all(call.state in ("completed", "error") for call in calls_in(state))


async def test_a_limit_is_met_in_the_middle_of_a_stream(world: World) -> None:
    agents = agents_of(small="[limits]\ncost_microusd = 200")
    run, _, _ = await begin(world, "tokens=500", agents=agents, agent="small")
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.error_code == RunFailure.COST_LIMIT
    assert state.cost_microusd is not None
    assert 150 < state.cost_microusd <= 205
    assert expected_text("tokens=500").startswith(state.content)


async def test_stopped_while_a_tool_runs(world: World) -> None:
    run, _, calls = await begin(world, "call=hold:{} then tokens=1")
    await calls.held.wait()
    await run.cancel()
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.status == "cancelled"
    assert calls.stopped == calls.keys == [f"{run.command.run_id}:2"]
    [call] = calls_in(state)
    assert (call.state, bool(call.error)) == ("error", True)


async def test_an_agent_that_is_gone(world: World) -> None:
    run, _, _ = await begin(world, "tokens=1", agent="nobody")
    assert (await run.ended()).error_code == RunFailure.AGENT_UNKNOWN


async def test_an_answer_is_limited_by_what_it_has_as_json(world: World) -> None:
    """Control characters take six bytes in a snapshot for one of text."""
    await world.worker(FakeModels(pieces=["\x01\n" * 5] * 1000), max_answer_bytes=4000)
    run = await world.run()
    state = await run.ended()
    assert state.status == "complete"
    assert 4000 < len(msgspec.json.encode(state.message_parts)) < 4100
    assert len(state.content) < 1100
