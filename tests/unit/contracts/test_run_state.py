"""Snapshot at any cut + tail equals the fold of the whole log, for every type of event."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec
import pytest
from contracts import events as e
from contracts.run_state import GapError, RunState, Snapshot, decode_snapshot, encode_snapshot
from contracts.usage import Usage
from hypothesis import given
from hypothesis import strategies as st

RUN_ID = "run_" + "0" * 26
THREAD_ID = "thr_" + "0" * 26
AT = "2026-11-21T03:17:47.123Z"

texts = st.text(max_size=12)
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts | st.lists(texts, max_size=2)
usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**6),
    cached_tokens=st.integers(0, 10**6),
    reasoning_tokens=st.integers(0, 10**6),
    estimated=st.booleans(),
)
costs = st.none() | st.integers(0, 10**9)


class Writer:
    """Writes a log as a worker would: steps open and close, parts are numbered in order, takeovers happen anywhere."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.log: list[e.RunEvent] = []
        self.attempt = 1
        self.step = 1
        self.open: Literal["model", "tool"] | None = None
        self.started_at = 0
        self.part = 0
        self.tools: list[str] = []
        self.agent: str | None = None

    def add(self, event: type[Any], /, **fields: Any) -> None:
        self.log.append(
            event(
                thread_id=THREAD_ID,
                run_id=RUN_ID,
                sequence=len(self.log) + 1,
                attempt=self.attempt,
                at=AT,
                agent=self.agent,
                **fields,
            )
        )

    def start(self) -> None:
        self.add(e.RunStarted, message_id="msg_" + "0" * 26, model="openai:gpt-4o-mini", path="durable_event")
        self.add(e.AttemptStarted, worker="worker-1")

    def next(self) -> None:
        if self.open is None:
            act = self.draw(st.sampled_from([self.open_step, self.open_step, self.wait, self.take_over]))
        elif self.open == "model":
            act = self.draw(
                st.sampled_from([self.grow] * 4 + [self.call_tool, self.cite, self.finish_step, self.take_over])
            )
        else:
            act = self.draw(st.sampled_from([self.tool_event, self.tool_event, self.finish_step, self.take_over]))
        act()

    def open_step(self) -> None:
        self.open = "tool" if self.tools and self.draw(st.booleans()) else "model"
        self.agent = self.draw(st.sampled_from([None, None, "writer"]))
        self.started_at = len(self.log) + 1
        self.add(e.StepStarted, step=self.step, kind=self.open, name="x")

    def finish_step(self) -> None:
        if self.open == "model":
            self.book(self.attempt)
        self.add(e.StepFinished, step=self.step, finish_reason=self.draw(st.sampled_from([None, "stop"])))
        self.open = None
        self.step += 1
        self.part += 1

    def grow(self) -> None:
        kind = self.draw(st.sampled_from([e.TextDelta, e.TextDelta, e.ReasoningDelta]))
        # A delta goes on in the part of its kind that is open, else it opens the next one.
        before = next(
            (event for event in reversed(self.log) if isinstance(event, e.TextDelta | e.ReasoningDelta)), None
        )
        if before is not None and (before.part != self.part or type(before) is not kind):
            self.part += 1
        self.add(kind, part=self.part, delta=self.draw(texts))

    def call_tool(self) -> None:
        self.part += 1
        tool = f"call-{len(self.tools)}"
        self.tools.append(tool)
        self.add(e.ToolCall, part=self.part, tool_call_id=tool, name="search", input=self.draw(values), state="pending")
        self.part += 1

    def cite(self) -> None:
        self.part += 1
        self.add(
            e.Source,
            part=self.part,
            source_id="s",
            title=self.draw(texts),
            url=self.draw(st.none() | texts),
            quote=self.draw(st.none() | texts),
        )
        self.part += 1

    def tool_event(self) -> None:
        tool = self.draw(st.sampled_from([*self.tools, "unknown"]))
        if self.draw(st.booleans()):
            self.add(
                e.ToolProgress,
                tool_call_id=tool,
                name="search",
                state="running",
                progress=self.draw(values),
                started_at=AT,
            )
        else:
            state = self.draw(st.sampled_from(["completed", "error"]))
            error = "failed" if state == "error" else None
            self.add(
                e.ToolResult,
                tool_call_id=tool,
                name="search",
                state=state,
                output=self.draw(values),
                error=error,
                ended_at=AT,
            )

    def wait(self) -> None:
        self.add(
            e.RunWaiting, reason="approval", schema=self.draw(values), expires_at=self.draw(st.none() | st.just(AT))
        )
        self.add(e.RunResumed, reason="approved")
        self.add(e.RunSteered, text="In French, please.", by="usr_1")

    def take_over(self) -> None:
        interrupted = self.attempt
        self.attempt += 1
        self.add(e.AttemptStarted, worker=f"worker-{self.attempt}")
        if self.open is not None:
            if self.open == "model":
                self.book(interrupted)
                if self.draw(st.booleans()):
                    self.add(e.TextRetracted, from_sequence=self.started_at)
                    self.part += 1
            self.add(e.StepStarted, step=self.step, kind=self.open, name="x")

    def book(self, attempt: int) -> None:
        self.add(
            e.UsageReported,
            step=self.step,
            of_attempt=attempt,
            model="openai:gpt-4o-mini",
            usage=self.draw(usages),
            cost_microusd=self.draw(costs),
            finish_reason="stop" if attempt == self.attempt and self.draw(st.booleans()) else None,
        )

    def end(self) -> None:
        about = {"message_id": "msg_" + "0" * 26, "usage": self.draw(usages), "cost_microusd": self.draw(costs)}
        match self.draw(st.sampled_from(["completed", "failed", "cancelled", "still running"])):
            case "completed":
                self.add(e.RunCompleted, **about)
            case "failed":
                self.add(e.RunFailed, code="deadline", message="Too late.", **about)
            case "cancelled":
                self.add(e.RunCancelled, by="usr_" + "0" * 26, **about)


@st.composite
def logs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[e.RunEvent]:
    writer = Writer(draw)
    writer.start()
    for _ in range(draw(st.integers(0, 25))):
        writer.next()
    writer.end()
    return writer.log


def fold(state: RunState, events: list[e.RunEvent]) -> RunState:
    for event in events:
        state.apply(e.decode_event(e.encode_event(event)))
    return state


def fresh() -> RunState:
    return RunState(run_id=RUN_ID, thread_id=THREAD_ID)


@given(logs())
def test_snapshot_at_any_cut_and_tail_equal_the_whole_log(log: list[e.RunEvent]) -> None:
    whole = fold(fresh(), log)
    for cut in range(len(log) + 1):
        written = encode_snapshot(Snapshot(state=fold(fresh(), log[:cut]), stream_sequence=cut))
        snapshot = decode_snapshot(written)
        assert encode_snapshot(snapshot) == written
        resumed = fold(snapshot.state, log[cut:])
        assert resumed == whole
        assert resumed.content == whole.content


@given(logs())
def test_the_text_is_what_a_viewer_has_on_the_screen(log: list[e.RunEvent]) -> None:
    """Against the rule that viewers follow: join the deltas, drop those a retraction names."""
    shown: list[e.TextDelta] = []
    for event in log:
        if isinstance(event, e.TextDelta):
            shown.append(event)
        elif isinstance(event, e.TextRetracted):
            shown = [
                delta
                for delta in shown
                if delta.sequence < event.from_sequence or (event.agent is not None and delta.agent != event.agent)
            ]
    by_part = sorted(shown, key=lambda delta: (delta.part, delta.sequence))
    assert fold(fresh(), log).content == "".join(delta.delta for delta in by_part)


@given(logs(), st.data())
def test_a_gap_or_a_double_is_refused_and_changes_nothing(log: list[e.RunEvent], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(log) - 1))
    state = fold(fresh(), log[:cut])
    before = msgspec.json.encode(state)
    for wrong in (log[cut - 1] if cut else None, log[cut + 1] if cut + 1 < len(log) else None):
        if wrong is not None:
            with pytest.raises(GapError):
                state.apply(wrong)
    assert msgspec.json.encode(state) == before


def test_every_event_type_can_appear_in_these_logs() -> None:
    """A new event type must be added to Writer, or the property above says nothing about it."""
    names = {name for method in vars(Writer).values() if callable(method) for name in method.__code__.co_names}
    assert {event.__name__ for event in get_args(e.RunEvent)} <= names
