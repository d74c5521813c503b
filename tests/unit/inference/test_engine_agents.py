"""Several agents in one run: handing over, and panels that answer in turn or at once, each with its own steps and bill."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from bus.api import RunLog
from contracts import events as e
from contracts.codes import RunFailure
from contracts.parts import TextPart
from contracts.registry import Continuation
from contracts.run_state import Begun, RunState
from contracts.times import rfc3339
from inference.agents.domain.checked_table import AgentConfigError
from inference.agents.domain.config import Agents, as_data
from inference.domain.limits import seconds_left

from tests.unit.inference.scripted import INPUT_TOKENS, ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import DyingLog, Run, World, new_world
from tests.upstream import expected_text

AGENTS = agents_of(
    finder='tools = ["note"]\nhand_off = ["writer"]\n[limits]\nsteps = 8',
    writer='model = "other:model"\n[limits]\nsteps = 1',
)


def with_panels() -> Agents:
    texts = {
        name: f'tools = ["note"]\nmodel = "{model}:model"'
        for name, model in (("optimist", "fake"), ("sceptic", "other"))
    }
    panels = {
        name: f'description = "Both sides."\n[panel]\nmembers = ["optimist", "sceptic"]\nat_once = {at_once}'
        for name, at_once in (("council", "false"), ("choir", "true"))
    }
    return agents_of(**texts, **panels)


WITH_PANELS = with_panels()
HAND_OVER = 'tokens=2 call=hand_off:{"agent":"writer","task":"tokens=5"} then tokens=99'


async def begin(
    world: World, content: str, agent: str, agents: Agents = AGENTS
) -> tuple[Run, ScriptedModels, ToolCalls]:
    models, calls = ScriptedModels(), ToolCalls()
    world.inputs.content = content
    await world.worker(models, agents=agents, tools=ToolsByHand(calls.tools(world.clock.now), agents))
    return await world.run(agent=agent), models, calls


def said_by(state: RunState) -> list[tuple[str | None, str]]:
    return [(part.agent, part.value.text) for part in state.parts.values() if isinstance(part.value, TextPart)]


async def test_another_agent_goes_on_with_its_own_model_prompt_and_limits(world: World) -> None:
    run, models, _ = await begin(world, HAND_OVER, "finder")
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.status == "complete"
    assert said_by(state) == [("finder", expected_text("tokens=2")), ("writer", expected_text("tokens=5"))]
    assert [(entry.model, entry.cost_microusd) for entry in state.ledger] == [
        ("fake:model", INPUT_TOKENS + 2 * 2),
        ("other:model", INPUT_TOKENS + 2 * 5),
    ]
    agents = [(event.agent, type(event).__name__) for event in await run.events() if event.agent == "writer"]
    assert agents[0][1] == "StepStarted"
    assert agents[-1][1] == "StepFinished"
    first, second = (call.messages for call in models.calls)
    assert first[0].content == "I am finder."
    assert second[0].content == "I am writer."
    assert [message.role for message in second] == ["system", "user", "assistant", "user"]
    assert second[-1].content.endswith("Your task: tokens=5")
    assert [spec.name for spec in models.calls[0].tools] == ["note", "hand_off"]
    assert models.calls[1].tools == []


async def test_who_takes_over_has_time_of_its_own(world: World) -> None:
    agents = agents_of(
        finder='hand_off = ["slow"]\n[limits]\nseconds = 600', slow='tools = ["hold"]\n[limits]\nseconds = 1'
    )
    models, calls = ScriptedModels(), ToolCalls()
    world.inputs.content = 'call=hand_off:{"agent":"slow","task":"call=hold:{}"} then tokens=1'
    await world.worker(models, agents=agents, tools=ToolsByHand(calls.tools(world.clock.now), agents))
    state = await (await world.run(agent="finder")).ended()
    assert state.error_code == RunFailure.DEADLINE
    assert calls.stopped == calls.keys != []
    assert list(state.agents) == ["finder", "slow"]


def test_an_agents_time_counts_from_its_first_step_without_what_the_run_waited() -> None:
    began = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    limits = AGENTS.by_name["writer"].limits
    state = RunState(run_id="r", thread_id="t", waited_ms=90_000)
    assert seconds_left(state, "writer", limits, began) == limits.seconds
    state.agents = {"writer": Begun(at=rfc3339(began), waited_ms=60_000), "": Begun(at=rfc3339(began))}
    later = began + timedelta(seconds=100)
    assert seconds_left(state, "writer", limits, later) == limits.seconds - 70
    assert seconds_left(state, None, limits, later) == limits.seconds - 10


async def test_whom_it_may_hand_over_to_is_configured(world: World) -> None:
    wrong = 'call=hand_off:{"agent":"default","task":"x"}'
    run, _, _ = await begin(world, f"{wrong} then {wrong} then {wrong}", "finder")
    state = await run.ended()
    assert state.error_code == RunFailure.TOOL_FAILED
    assert {part.agent for part in state.parts.values()} == {"finder"}


async def test_a_panel_in_turn_hears_what_was_said_before(world: World) -> None:
    run, models, calls = await begin(world, 'call=note:{"text":"a"} then tokens=3', "council", WITH_PANELS)
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.status == "complete"
    heard = f"optimist said: {expected_text('tokens=3')}"
    assert said_by(state) == [("optimist", expected_text("tokens=3")), ("sceptic", expected_text(heard))]
    assert [message.content for message in models.calls[-1].messages if message.role == "user"][-1] == heard
    assert [step.agent for step in state.steps] == ["optimist"] * 3 + ["sceptic"]
    assert len(calls.keys) == 1
    assert {entry.model for entry in state.ledger} == {"fake:model", "other:model"}


async def test_a_panel_at_once(world: World) -> None:
    run, models, calls = await begin(world, 'tokens=2 call=note:{"text":"a"} then tokens=30', "choir", WITH_PANELS)
    state = await run.ended()
    check_one_end(state, await run.events())
    whole = expected_text("tokens=2") + expected_text("tokens=30")
    for agent in ("optimist", "sceptic"):
        assert "".join(text for who, text in said_by(state) if who == agent) == whole
        mine = [step for step in state.steps if step.agent == agent]
        assert [step.kind for step in mine] == ["model", "tool", "model"]
        costs = [entry.cost_microusd for entry in state.ledger if entry.step in {step.step for step in mine}]
        assert costs == [INPUT_TOKENS + 4, INPUT_TOKENS + 60]
    assert len(set(calls.keys)) == 2
    started = [event.agent for event in await run.events() if isinstance(event, e.StepStarted)]
    assert set(started[:2]) == {"optimist", "sceptic"}  # neither waited for the other
    assert all(
        message.role != "user" or "said" not in message.content for call in models.calls for message in call.messages
    )


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("continuation", ["prefix", "retract"])
@pytest.mark.parametrize("agent", ["finder", "council", "choir"])
async def test_death_at_many_writes(agent: str, continuation: Continuation, stored: bool) -> None:
    agents = AGENTS if agent == "finder" else WITH_PANELS
    content = HAND_OVER if agent == "finder" else 'tokens=2 call=note:{"text":"a"} then tokens=4'

    async def case(writes: int) -> bool:
        async with new_world() as world:
            world.inputs.content = content
            models, calls = ScriptedModels(), ToolCalls()
            tools = ToolsByHand(calls.tools(world.clock.now), agents)
            logs: list[DyingLog] = []

            def mortal(inner: RunLog) -> RunLog:
                logs.append(DyingLog(inner, writes, stored=stored))
                return logs[0]

            await world.worker(models, agents=agents, tools=tools, log=mortal, continuation=continuation)
            run = await world.run(agent=agent)
            dead, ended = asyncio.create_task(logs[0].died.wait()), asyncio.create_task(run.settled())
            await asyncio.wait({dead, ended}, return_when=asyncio.FIRST_COMPLETED)
            died = dead.done()
            dead.cancel()
            if died:
                await world.worker(models, agents=agents, tools=tools, continuation=continuation)
                await world.kill(0)
            await ended
            state, events = await run.ended(), await run.events()
            check_one_end(state, events)
            check_answer(agent, state)
            started = {
                (event.attempt, event.step)
                for event in events
                if isinstance(event, e.StepStarted) and event.kind == "model"
            }
            assert {(entry.attempt, entry.step) for entry in state.ledger} == started
            assert len(state.ledger) == len(started)
            assert await run.snapshot() == state
            return died

    died = await asyncio.gather(*(case(writes) for writes in range(2, 44, 4)))
    assert sum(died) >= 4


def check_answer(agent: str, state: RunState) -> None:
    assert state.status == "complete"
    by_agent: dict[str | None, str] = {}
    for who, text in said_by(state):
        by_agent[who] = by_agent.get(who, "") + text
    whole = expected_text("tokens=2") + expected_text("tokens=4")
    if agent == "finder":
        assert by_agent == {"finder": expected_text("tokens=2"), "writer": expected_text("tokens=5")}
    elif agent == "choir":
        assert by_agent == {"optimist": whole, "sceptic": whole}
    else:
        assert by_agent["optimist"] == whole
        assert by_agent["sceptic"]


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ('members = ["default"]', "the names of 2 to 8 agents"),
        ('members = ["default", "nobody"]', "'nobody', expected some of: default"),
        ('members = ["default", "self"]', "'self', expected some of: default"),
        ('members = ["default", "a"]\nmode = "x"', "panel.mode is set, but nothing reads it"),
    ],
)
def test_a_panel_that_cannot_be(panel: str, said: str) -> None:
    with pytest.raises(AgentConfigError, match="(?s)" + said.replace(".", r"\.")):
        agents_of(self=f'tools = ["note"]\n[panel]\n{panel}')


def test_what_clients_may_know() -> None:
    council = WITH_PANELS.by_name["council"]
    assert as_data(council)["panel"] == ["optimist", "sceptic"]
