"""Tools that a client brings: offered, called by the model, and left to the client, whoever dies in between."""

import asyncio
from typing import Any

import pytest
from contracts import events as e
from contracts.client_tools import ClientTool, ClientTools
from contracts.codes import RunFailure
from contracts.commands import SteerRun
from contracts.parts import Part, TextPart, ToolCallPart
from contracts.run_state import RunState
from inference.domain.run_input import RunInput, StoredMessage
from msgspec import json

from tests.unit.inference.scripted import ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import USER, DyingLog, FakeInputs, Run, World, new_world
from tests.upstream import expected_text

AGENTS = agents_of()
LOOK = ClientTool(name="look", description="Look at it.", parameters={"type": "object", "properties": {}}, strict=True)
BROUGHT = ClientTools(tools=(LOOK,))
ASK = 'tokens=2 call=note:{"text":"a"} call=look:{"at":"sea"}'
WRITES = 18


class Bringing(FakeInputs):
    """A context with a client's tools in it."""

    def __init__(self, brought: ClientTools, messages: list[StoredMessage]) -> None:
        super().__init__()
        self.brought, self.messages = brought, messages

    async def get(self, run_id: str) -> RunInput:
        return RunInput(messages=self.messages, brought=self.brought)


async def begin(
    world: World, messages: str | list[StoredMessage], brought: ClientTools = BROUGHT, **more: Any
) -> tuple[Run, ScriptedModels, ToolCalls]:
    models, calls = ScriptedModels(), ToolCalls()
    said = [StoredMessage("user", messages)] if isinstance(messages, str) else messages
    world.inputs = Bringing(brought, said)
    await world.worker(models, agents=AGENTS, tools=ToolsByHand(calls.tools(world.clock.now), AGENTS), **more)
    return await world.run(), models, calls


def calls_in(state: RunState) -> list[tuple[str, str]]:
    return [(part.name, part.state) for part in state.message_parts if isinstance(part, ToolCallPart)]


async def test_the_clients_calls_are_left_and_the_agents_carried_out(world: World) -> None:
    run, models, calls = await begin(world, ASK)
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.content) == ("complete", expected_text("tokens=2"))
    assert calls_in(state) == [("note", "completed"), ("look", "pending")]
    assert len(models.calls) == len(calls.keys) == 1
    assert state.steps[0].finish_reason == "tool_calls"
    assert [call.usage.output_tokens for call in state.ledger] == [2]


async def test_results_are_gone_on_from(world: World) -> None:
    """The call and its result reach the model as a pair, behind the question; ids of this answer's calls are new ones."""
    parts: list[Part] = [
        TextPart(text="Wait. "),
        ToolCallPart(tool_call_id="call_0", name="look", state="completed", input={"at": "sea"}, output="blue"),
    ]
    messages = [
        StoredMessage("user", "Hello."),
        StoredMessage("assistant", "Hi."),
        StoredMessage("user", "tokens=1 then call=look:{} then tokens=3"),
        StoredMessage("assistant", "Wait. ", parts),
    ]
    run, models, _ = await begin(world, messages)
    state = await run.ended()
    assert [(part.tool_call_id, part.state) for part in state.message_parts if isinstance(part, ToolCallPart)] == [
        ("call_0_0", "pending")
    ]
    sent = [(message.role, message.content, message.tool_call_id) for message in models.calls[0].messages]
    assert sent[2:] == [
        ("user", "tokens=1 then call=look:{} then tokens=3", ""),
        ("assistant", "Wait. ", ""),
        ("tool", "blue", "call_0"),
    ]


@pytest.mark.parametrize("choice", ["required", "none", "function"])
async def test_what_a_client_demands_it_demands_of_its_own(world: World, choice: Any) -> None:
    brought = ClientTools(tools=(LOOK,), choice=choice, named="look" if choice == "function" else "", parallel=False)
    run, models, _ = await begin(world, "call=look:{}", brought)
    assert calls_in(await run.ended()) == [("look", "pending")]
    assert [(call.tools, call.brought) for call in models.calls] == [([], brought)]


async def test_a_name_that_the_agent_has_ends_the_run(world: World) -> None:
    run, models, _ = await begin(world, "tokens=2", ClientTools(tools=(LOOK, ClientTool(name="note"))))
    state = await run.ended()
    assert (state.status, state.error_code) == ("error", RunFailure.TOOL_NAME_TAKEN)
    assert models.calls == []


async def test_a_stopped_run_leaves_nothing_to_the_client(world: World) -> None:
    """Where the agent's tool beside it is still at work, the run is not over; and once it is stopped, nobody waits."""
    run, _, calls = await begin(world, "call=look:{} call=hold:{}")
    await calls.held.wait()
    await run.cancel()
    state = await run.ended()
    assert (state.status, calls_in(state)) == ("cancelled", [("look", "error"), ("hold", "error")])


async def test_what_is_said_after_the_call_does_not_join(world: World) -> None:
    """It is answered by a run of its own, since this one cannot go on: that it has not joined is what conversation looks at."""
    dying: list[DyingLog] = []

    def mortal(inner: object) -> DyingLog:
        dying.append(DyingLog(inner, 8, stored=True))  # type: ignore[arg-type]  # the log that the world passes
        return dying[0]

    run, models, _ = await begin(world, "call=look:{}", log=mortal)
    await dying[0].died.wait()
    told = SteerRun(text="And the sky?", by=USER, at=run.command.accepted_at, message_id="msg_1")
    thread, run_id = run.command.thread_id, run.command.run_id
    await run.bus.run_log.append_command(thread, run_id, json.encode(told), message_id="steer")
    assert any(isinstance(event, e.ToolCall) for event in await run.events())
    await world.worker(models, agents=AGENTS)
    await world.kill(0)
    state = await run.ended()
    assert (state.status, calls_in(state), state.steers) == ("complete", [("look", "pending")], [])
    assert len(models.calls) == 1


async def _die_and_go_on(writes: int, *, stored: bool) -> bool:
    async with new_world() as world:
        dying: list[DyingLog] = []

        def mortal(inner: object) -> DyingLog:
            dying.append(DyingLog(inner, writes, stored=stored))  # type: ignore[arg-type]  # the log that the world passes
            return dying[0]

        run, models, calls = await begin(world, ASK, log=mortal)
        dead, ended = asyncio.create_task(dying[0].died.wait()), asyncio.create_task(run.settled())
        await asyncio.wait({dead, ended}, return_when=asyncio.FIRST_COMPLETED)
        died = dead.done()
        dead.cancel()
        if died:
            await world.worker(models, agents=AGENTS, tools=ToolsByHand(calls.tools(world.clock.now), AGENTS))
            await world.kill(0)
        await ended
        state, events = await run.state(), await run.events()
        check_one_end(state, events)
        assert state.status == "complete"
        assert calls_in(state) == [("note", "completed"), ("look", "pending")]
        assert len(models.calls) <= 2
        return died


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
async def test_death_at_every_write(stored: bool) -> None:
    deaths = await asyncio.gather(*(_die_and_go_on(writes, stored=stored) for writes in range(1, WRITES + 1)))
    assert sum(deaths) >= 15
