"""Run logs as a worker may write them, for property tests: takeovers with and without retraction, parallel tools, waits,
several agents in turn and at once, every end."""

from dataclasses import dataclass, field
from typing import Any

from contracts import events as e
from contracts.run_state import RunState
from contracts.usage import Usage
from hypothesis import strategies as st

THREAD = "thr_01JABCDEFGHJKMNPQRSTVWXYZ0"
RUN = "run_01JABCDEFGHJKMNPQRSTVWXYZ0"
MESSAGE = "msg_01JABCDEFGHJKMNPQRSTVWXYZ0"
MODEL = "openai:gpt-4o-mini"
AT = "2026-11-21T03:17:47.123Z"
LATER = "2126-11-21T03:17:47.123Z"
# Few letters, so that a regenerated text often begins like the one taken back; some of several bytes and code units.
TEXTS = st.text(alphabet="ab\né😀", min_size=1, max_size=5)
INPUTS = st.sampled_from([{"zone": "UTC"}, {}, {"q": 'a "b"', "n": [1, None]}, '{"q": "not'])
"""The last is what a model sent that is no JSON."""
OUTPUTS = st.sampled_from(["03:17", "", {"rows": [1, 2]}, None, 7])


def fold(log: list[e.RunEvent]) -> RunState:
    """The state after a log."""
    state = RunState(run_id=RUN, thread_id=THREAD)
    for event in log:
        state.apply(event)
    return state


@dataclass
class _Writer:
    """Appends events with the right sequence, attempt and agent, and follows the fold as a worker does."""

    log: list[e.RunEvent] = field(default_factory=list)
    state: RunState = field(default_factory=lambda: RunState(run_id=RUN, thread_id=THREAD))
    attempt: int = 1
    agent: str | None = None
    steps: int = 0

    def add(self, kind: type[Any], /, **fields: Any) -> None:
        event = kind(
            thread_id=THREAD,
            run_id=RUN,
            sequence=len(self.log) + 1,
            attempt=self.attempt,
            at=AT,
            agent=self.agent,
            **fields,
        )
        self.state.apply(event)
        self.log.append(event)

    @property
    def next_part(self) -> int:
        return self.state.next_part


@st.composite
def run_logs(draw: st.DrawFn, *, approvals: bool = True, max_steps: int = 3) -> list[e.RunEvent]:
    """A whole log, from `run.started` to its one terminal event."""
    writer = _Writer()
    writer.add(e.RunStarted, message_id=MESSAGE, model=MODEL, path="durable_event")
    writer.add(e.AttemptStarted, worker="inference-1")
    crews: list[list[str | None]] = [[None], [None, "researcher"], ["researcher", "writer"]]
    agents = draw(st.sampled_from(crews))
    if draw(st.booleans()):
        _source(draw, writer)
    if draw(st.integers(0, 2)) == 0:
        _panel(draw, writer)
    for _ in range(draw(st.integers(1, max_steps))):
        writer.agent = draw(st.sampled_from(agents))
        calls = _model_step(draw, writer)
        if draw(st.integers(0, 7)) == 0:
            return _finish(draw, writer, (e.RunCancelled, e.RunFailed))
        left_to_client = draw(st.booleans())
        if calls and left_to_client:
            # The agent's own among them are carried out all the same.
            own = calls[1:] if draw(st.booleans()) else []
            if own:
                _tool_step(draw, writer, own, approvals=approvals)
            break
        if calls:
            _tool_step(draw, writer, calls, approvals=approvals)
        if draw(st.integers(0, 5)) == 0:
            writer.add(e.RunWaiting, reason="timer", expires_at=AT)
            _maybe_takeover(draw, writer, odds=1)
            writer.add(e.RunResumed, reason="timer")
    writer.agent = None
    return _finish(draw, writer, (e.RunCompleted, e.RunCompleted, e.RunCancelled, e.RunFailed))


def _finish(draw: st.DrawFn, writer: _Writer, kinds: tuple[type[Any], ...]) -> list[e.RunEvent]:
    kind = draw(st.sampled_from(kinds))
    state = writer.state
    ending: dict[str, Any] = {"message_id": MESSAGE, "usage": state.usage, "cost_microusd": state.cost_microusd}
    if kind is e.RunFailed:
        ending |= {"code": "upstream_unavailable", "message": "The model's provider did not answer."}
    if kind is e.RunCancelled:
        ending["by"] = "usr_01JABCDEFGHJKMNPQRSTVWXYZ0"
    writer.add(kind, **ending)
    return writer.log


def _start_step(writer: _Writer, kind: str) -> None:
    if writer.state.open_step is None:
        writer.steps += 1
    writer.add(e.StepStarted, step=writer.steps, kind=kind, name=MODEL if kind == "model" else "time")


def _model_step(draw: st.DrawFn, writer: _Writer) -> list[str]:
    """One model call: reasoning, texts, sources, then tool calls; lost and taken over now and then. Returns open calls."""
    _start_step(writer, "model")
    script = draw(st.lists(st.sampled_from(["text", "text", "text", "reasoning", "source"]), min_size=0, max_size=4))
    deltas = [(kind, draw(st.lists(TEXTS, min_size=1, max_size=4))) for kind in script]
    _write(draw, writer, deltas, lost=draw(st.integers(0, 2)))
    calls = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        call = f"call_{writer.next_part}"
        calls.append(call)
        writer.add(
            e.ToolCall, part=writer.next_part, tool_call_id=call, name="time", input=draw(INPUTS), state="pending"
        )
    usage = Usage(input_tokens=3, output_tokens=2)
    cost = draw(st.sampled_from([5, 5, 5, None]))
    writer.add(
        e.UsageReported, step=writer.steps, of_attempt=writer.attempt, model=MODEL, usage=usage, cost_microusd=cost
    )
    finish_reason = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "odd"]))
    writer.add(e.StepFinished, step=writer.steps, finish_reason=finish_reason)
    return calls


def _write(draw: st.DrawFn, writer: _Writer, script: list[tuple[str, list[str]]], *, lost: int) -> None:
    """Write the script's parts. With `lost` left, the worker is lost somewhere in it and another takes over: it goes on in
    the same part, or takes the text back and writes the same script, a changed one or a shorter one."""
    total = sum(len(deltas) for _, deltas in script)
    at = draw(st.integers(0, total)) if lost else -1
    written = 0
    for kind, deltas in script:
        if kind == "source":
            _source(draw, writer)
            continue
        part = writer.next_part
        for delta in deltas:
            if written == at and _taken_over(draw, writer, script, lost):
                return
            writer.add(e.TextDelta if kind == "text" else e.ReasoningDelta, part=part, delta=delta)
            written += 1
    if written == at:
        _taken_over(draw, writer, script, lost)


def _taken_over(draw: st.DrawFn, writer: _Writer, script: list[tuple[str, list[str]]], lost: int) -> bool:
    """True when the text was taken back and written anew; False: the caller goes on in the same part."""
    step = writer.state.open_step
    assert step is not None
    writer.attempt += 1
    writer.add(e.AttemptStarted, worker=f"inference-{writer.attempt}")
    retract = draw(st.booleans())
    if retract:
        writer.add(e.TextRetracted, from_sequence=step.sequence)
    if draw(st.integers(0, 9)):
        _start_step(writer, "model")
    if not retract:
        return False
    again = draw(st.sampled_from(["same", "split", "changed", "shorter"]))
    texts = [(kind, deltas) for kind, deltas in script if kind != "source"]
    if again == "split":
        texts = [(kind, ["".join(deltas)]) for kind, deltas in texts]
    elif again == "changed":
        texts = [(kind, [*deltas[:-1], draw(TEXTS)]) for kind, deltas in texts]
    elif again == "shorter":
        texts = [(kind, deltas[:-1] or ["a"]) for kind, deltas in texts[:-1]]
    _write(draw, writer, texts, lost=lost - 1)
    return True


def _panel(draw: st.DrawFn, writer: _Writer) -> None:
    """Agents that answer at once, each in a step of its own. Now and then the worker is lost among them: of each agent that
    is not done the text is gone on with, or taken back and written anew."""
    crew = ["researcher", "writer", "critic"][: draw(st.integers(2, 3))]
    writer.steps = writer.state.last_step
    steps = {agent: writer.steps + number for number, agent in enumerate(crew, start=1)}
    writer.steps += len(crew)
    scripts = {agent: [(draw(st.sampled_from(["text", "reasoning"])), draw(TEXTS)) for _ in range(3)] for agent in crew}
    todo = {agent: list(script) for agent, script in scripts.items()}
    last: dict[str, tuple[str, int]] = {}

    def start(agent: str) -> None:
        writer.agent = agent
        writer.add(e.StepStarted, step=steps[agent], kind="model", name=MODEL)

    begun = {agent: len(writer.log) + number for number, agent in enumerate(crew, start=1)}
    for agent in crew:
        start(agent)
    lost = draw(st.integers(0, 2))
    while todo:
        if lost and draw(st.integers(0, 4)) == 0:
            lost -= 1
            writer.agent, writer.attempt = None, writer.attempt + 1
            writer.add(e.AttemptStarted, worker=f"inference-{writer.attempt}")
            for agent in draw(st.permutations(list(todo))):
                if draw(st.booleans()):
                    writer.agent = agent
                    writer.add(e.TextRetracted, from_sequence=begun[agent])
                    todo[agent] = draw(st.sampled_from([scripts[agent], scripts[agent][:1], [("text", "b")]]))[:]
                    last.pop(agent, None)
                start(agent)
        agent = draw(st.sampled_from(sorted(todo)))
        writer.agent = agent
        if todo[agent]:
            kind, delta = todo[agent].pop(0)
            if last.get(agent, ("", 0))[0] != kind:
                last[agent] = (kind, writer.next_part)
            writer.add(e.TextDelta if kind == "text" else e.ReasoningDelta, part=last[agent][1], delta=delta)
        else:
            writer.add(e.StepFinished, step=steps[agent], finish_reason="stop")
            del todo[agent]


def _maybe_takeover(draw: st.DrawFn, writer: _Writer, *, odds: int) -> None:
    if draw(st.integers(0, odds)) == 0:
        writer.attempt += 1
        writer.add(e.AttemptStarted, worker=f"inference-{writer.attempt}")
        if writer.state.open_step is not None:
            _start_step(writer, writer.state.open_step.kind)


def _tool_step(draw: st.DrawFn, writer: _Writer, calls: list[str], *, approvals: bool) -> None:
    """All calls at once: approval now and then, progress, results in any order."""
    if approvals and draw(st.integers(0, 2)) == 0:
        writer.add(e.RunWaiting, reason="approval", expires_at=draw(st.sampled_from([None, LATER])))
        _maybe_takeover(draw, writer, odds=2)
        writer.add(e.RunResumed, reason="approval")
    _start_step(writer, "tool")
    for call in draw(st.permutations(calls)):
        if draw(st.booleans()):
            writer.add(e.ToolProgress, tool_call_id=call, name="time", state="running", progress=0.5, started_at=AT)
        _maybe_takeover(draw, writer, odds=4)
    for call in draw(st.permutations(calls)):
        ended: dict[str, Any] = {"state": "completed", "output": draw(OUTPUTS)}
        if draw(st.integers(0, 3)) == 0:
            ended = {"state": "error", "error": "The tool did not answer."}
        writer.add(e.ToolResult, tool_call_id=call, name="time", started_at=AT, ended_at=AT, **ended)
        if draw(st.integers(0, 3)) == 0:
            _source(draw, writer)
    writer.add(e.StepFinished, step=writer.steps)


def _source(draw: st.DrawFn, writer: _Writer) -> None:
    part = writer.next_part
    url, quote = draw(st.sampled_from([("https://example.org/a", None), (None, "a passage")]))
    writer.add(e.Source, part=part, source_id=f"s{part}", title="A page", url=url, quote=quote)
