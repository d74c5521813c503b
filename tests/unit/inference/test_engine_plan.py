"""The plan and the fold as one machine: whatever is interrupted, doubled or comes in another order, the run goes on to one
end, no call that ended is made again, and every call is billed once."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from contracts import events as e
from contracts.parts import ToolCallPart
from contracts.registry import Continuation
from contracts.run_state import RunState, Snapshot, decode_snapshot, encode_snapshot
from contracts.usage import Usage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from inference.domain.plan import (
    WHOLE_RUN,
    Answered,
    CallModel,
    CallTools,
    EndStep,
    OpenCall,
    Plan,
    interrupted_calls,
    plan_next,
)

RUN_ID = "run_" + "0" * 26
THREAD_ID = "thr_" + "0" * 26
AT = "2026-11-21T03:17:47.123Z"
USED = Usage(input_tokens=3, output_tokens=2)


class Engine(RuleBasedStateMachine):
    """A worker reduced to its writes: it plans, writes the events of what it planned one by one (the end of a model step with
    its calls at once), and may die before any of them. What it does outside (ask the model, call the tool) is counted when it does it."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[e.RunEvent] = []
        self.state = RunState(run_id=RUN_ID, thread_id=THREAD_ID)
        self.attempt = 0
        self.queue: list[list[tuple[type[Any], dict[str, Any]]]] = []
        self.ended_calls: set[int] = set()
        self.is_at_work = False
        """In the middle of a call that will never end."""
        self.steers = 0
        self.calls_left = 4

    # What the worker does

    def put(self, kind: type[Any], /, **fields: Any) -> None:
        self.queue.append([(kind, fields)])

    def write(self) -> None:
        for kind, fields in self.queue.pop(0):
            event = kind(
                thread_id=THREAD_ID,
                run_id=RUN_ID,
                sequence=self.state.sequence + 1,
                attempt=self.attempt,
                at=AT,
                **fields,
            )
            self.log.append(e.decode_event(e.encode_event(event)))
            self.state.apply(self.log[-1])

    @initialize(continuation=st.sampled_from(["prefix", "retract"]))
    def start(self, continuation: Continuation) -> None:
        self.continuation: Continuation = continuation
        self.put(e.RunStarted, message_id="msg_" + "0" * 26, model="m", path="durable_event")
        self.take()

    def take(self) -> None:
        self.attempt += 1
        self.put(e.AttemptStarted, worker=f"w{self.attempt}")

    @property
    def plan(self) -> Plan:
        return plan_next(self.state, WHOLE_RUN, continuation=lambda _: self.continuation)

    @rule(count=st.integers(1, 6))
    @precondition(lambda self: self.queue)
    def store(self, count: int) -> None:
        for _ in range(min(count, len(self.queue))):
            self.write()

    @rule(snapshot=st.booleans())
    def die(self, snapshot: bool) -> None:
        """What waited is lost; the next worker reads a snapshot or the whole log."""
        if not self.state.sequence:
            return
        self.queue.clear()
        self.is_at_work = False
        if snapshot:
            self.state = decode_snapshot(encode_snapshot(Snapshot(state=self.state, stream_sequence=1))).state
        else:
            self.state = RunState(run_id=RUN_ID, thread_id=THREAD_ID)
            for event in self.log:
                self.state.apply(event)
        self.take()

    @rule(texts=st.lists(st.sampled_from(["a", "bc"]), max_size=3), calls=st.integers(0, 2), ends=st.booleans())
    @precondition(lambda self: not self.queue and not self.is_at_work)
    def ask_the_model(self, texts: list[str], calls: int, ends: bool) -> None:
        plan = self.plan
        if isinstance(plan, CallModel):
            self.answer(plan, texts, min(calls, self.calls_left), ends=ends)

    def answer(self, plan: CallModel, texts: Sequence[str], calls: int, *, ends: bool) -> None:
        if plan.interrupted is not None:
            self.bill(plan.interrupted.step, plan.interrupted.attempt)
        if plan.retract_from is not None:
            self.put(e.TextRetracted, from_sequence=plan.retract_from)
        step = plan.step if plan.step is not None else self.state.last_step + 1
        assert step not in self.ended_calls
        self.put(e.StepStarted, step=step, kind="model", name="m", context={"input_tokens": 3})
        part = plan.prefix.part if plan.prefix is not None else self.state.next_part
        for text in texts:
            self.put(e.TextDelta, part=part, delta=text)
        if not ends:
            self.is_at_work = True
            return
        self.calls_left -= calls
        first = max(part, self.state.next_part) + 1
        for number in range(first, first + calls):
            self.put(e.ToolCall, part=number, tool_call_id=f"c{number}", name="t", input={}, state="pending")
        finish = "tool_calls" if calls else "stop"
        self.bill(step, self.attempt, finish)
        self.put(e.StepFinished, step=step, finish_reason=finish)
        if calls:
            end = [event for events in self.queue[-calls - 2 :] for event in events]
            self.queue[-calls - 2 :] = [end]

    def bill(self, step: int, of_attempt: int, finish_reason: str | None = None) -> None:
        self.put(
            e.UsageReported,
            step=step,
            of_attempt=of_attempt,
            model="m",
            usage=USED,
            cost_microusd=7,
            finish_reason=finish_reason,
        )

    @rule(data=st.data(), ends=st.booleans())
    @precondition(lambda self: not self.queue and not self.is_at_work)
    def call_the_tools(self, data: st.DataObject, ends: bool) -> None:
        plan = self.plan
        if isinstance(plan, CallTools):
            begun = self.begin_calls(plan)
            self.is_at_work = not ends
            if ends:
                self.end_calls(data.draw(st.permutations(begun)))

    def begin_calls(self, plan: CallTools) -> list[tuple[OpenCall, int]]:
        last, begun = self.state.last_step, []
        for call in plan.calls:
            last += call.step is None
            step = call.step if call.step is not None else last
            begun.append((call, step))
            self.put(e.StepStarted, step=step, kind="tool", name="t", tool_call_id=call.call.tool_call_id)
        return begun

    def end_calls(self, begun: Sequence[tuple[OpenCall, int]]) -> None:
        for call, step in begun:
            self.put(e.ToolResult, tool_call_id=call.call.tool_call_id, name="t", state="completed", output=1)
            self.put(e.StepFinished, step=step)

    @rule()
    @precondition(lambda self: not self.queue and not self.is_at_work)
    def end_a_step(self) -> None:
        plan = self.plan
        if isinstance(plan, EndStep):
            self.end_step(plan)

    def end_step(self, plan: EndStep) -> None:
        self.put(e.StepFinished, step=plan.step, finish_reason=plan.finish_reason)

    @rule()
    @precondition(lambda self: not self.queue and not self.is_at_work and self.steers < 2)
    def the_user_adds_something(self) -> None:
        self.steers += 1
        self.put(e.RunSteered, text="and?", by="usr")

    # What must hold

    @invariant()
    def a_call_that_ended_is_never_made_again(self) -> None:
        for event in self.log:
            if isinstance(event, e.UsageReported) and event.finish_reason is not None:
                self.ended_calls.add(event.step)

    @invariant()
    def every_call_is_billed_once(self) -> None:
        bills = Counter((entry.attempt, entry.step) for entry in self.state.ledger)
        started = {
            (event.attempt, event.step)
            for event in self.log
            if isinstance(event, e.StepStarted) and event.kind == "model"
        }
        assert set(bills.values()) <= {1}
        open_now = {(found.attempt, found.step) for found in interrupted_calls(self.state)}
        assert started == set(bills) | open_now

    @invariant()
    def a_call_of_a_tool_has_one_step(self) -> None:
        """So the tool is told one key, however often the call is repeated."""
        steps: dict[str, set[int]] = {}
        for event in self.log:
            if isinstance(event, e.StepStarted) and event.tool_call_id is not None:
                steps.setdefault(event.tool_call_id, set()).add(event.step)
        assert all(len(found) == 1 for found in steps.values())
        numbers = [number for found in steps.values() for number in found]
        assert len(numbers) == len(set(numbers))

    @invariant()
    def results_come_once(self) -> None:
        results = Counter(event.tool_call_id for event in self.log if isinstance(event, e.ToolResult))
        assert set(results.values()) <= {1}

    def teardown(self) -> None:
        """From wherever it was left, an undisturbed worker brings the run to its end."""
        while self.queue:
            self.write()
        if self.is_at_work:
            self.is_at_work = False
            self.take()
        while not isinstance(self.plan, Answered) or self.queue:
            while self.queue:
                self.write()
            self.a_call_that_ended_is_never_made_again()
            self.every_call_is_billed_once()
            match self.plan:
                case CallModel() as plan:
                    self.answer(plan, ["z"], 0, ends=True)
                case CallTools() as tools:
                    self.end_calls(self.begin_calls(tools))
                case EndStep() as step:
                    self.end_step(step)
        assert not self.state.open_steps
        calls = [part for part in self.state.message_parts if isinstance(part, ToolCallPart)]
        assert all(call.state == "completed" for call in calls)
        assert {(entry.attempt, entry.step) for entry in self.state.ledger} == {
            (event.attempt, event.step)
            for event in self.log
            if isinstance(event, e.StepStarted) and event.kind == "model"
        }


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=80, stateful_step_count=40)
