"""A shadow run: the same loop, and nothing is changed outside that the served run changed already."""

from datetime import timedelta

from contracts.commands import ExecuteRun
from contracts.ids import new_id
from contracts.parts import Part, TextPart, ToolCallPart
from contracts.times import rfc3339
from inference.domain.run_input import RunInput, StoredMessage

from tests.unit.inference.scripted import ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.workers import USER, FakeInputs, Run, World
from tests.upstream import expected_text

AGENTS = agents_of()


class ServedInputs(FakeInputs):
    """With the parts of the answer that was served."""

    recorded: tuple[Part, ...] = ()

    async def get(self, run_id: str) -> RunInput:
        return RunInput(messages=[StoredMessage("user", self.content)], recorded=self.recorded)


async def shadowed(world: World, content: str, *recorded: Part) -> tuple[list[ToolCallPart], str, ToolCalls]:
    """The tool calls and the text of a shadow of an answer that consisted of these parts, and which tools were called."""
    inputs, models, calls = ServedInputs(content=content), ScriptedModels(), ToolCalls()
    inputs.recorded = recorded
    world.inputs = inputs
    await world.worker(models, agents=AGENTS, tools=ToolsByHand(calls.tools(world.clock.now), AGENTS))
    command = ExecuteRun(
        run_id=new_id("run"),
        thread_id=new_id("thr"),
        message_id=new_id("msg"),
        user_id=USER,
        model="fake:model",
        path="durable_event",
        accepted_at=world.clock.stamp(),
        deadline_at=rfc3339(world.clock.now() + timedelta(seconds=60)),
        shadow_of=new_id("run"),
    )
    run = Run(world.outside, command)
    await world.publish(run)
    state = await run.ended()
    assert state.status == "complete"
    return [part for part in state.message_parts if isinstance(part, ToolCallPart)], state.content, calls


def paid(amount: int, output: str) -> ToolCallPart:
    return ToolCallPart(tool_call_id="call_9", name="pay", state="completed", input={"amount": amount}, output=output)


async def test_what_has_side_effects_or_asks_a_person_is_answered_from_the_record(world: World) -> None:
    content = 'call=pay:{"amount":2} call=pay:{"amount":1} call=note:{"text":"a"} then tokens=4'
    record = (TextPart(text="I pay."), paid(1, "paid one"), paid(2, "paid two"))
    found, text, calls = await shadowed(world, content, *record)
    assert [call.output for call in found] == ["paid two", "paid one", {"noted": "a"}]
    assert [key.partition(":")[0][:4] for key in calls.keys] == ["run_"]  # only the note, which changes nothing
    assert text == expected_text(content)


async def test_a_call_that_is_worded_differently_gets_the_recorded_result(world: World) -> None:
    found, _, calls = await shadowed(world, 'call=pay:{"amount":5} then tokens=2', paid(4, "paid four"))
    assert found[0].output == "paid four"
    assert calls.keys == []


async def test_a_call_that_was_never_made_is_not_made_now(world: World) -> None:
    found, _, calls = await shadowed(world, 'call=pay:{"amount":5} then tokens=2')
    assert found[0].state == "error"
    assert "does not carry it out" in (found[0].error or "")
    assert calls.keys == []


async def test_a_shadow_waits_for_nobody(world: World) -> None:
    answered = ToolCallPart(
        tool_call_id="c", name="ask_user", state="completed", input={"question": "Which?"}, output="The red one."
    )
    found, text, _ = await shadowed(world, 'call=ask_user:{"question":"Which?"} then tokens=3', answered)
    assert (found[0].output, text) == ("The red one.", expected_text("tokens=3"))
