"""The fold of a run's log: what is on a viewer's screen, what a takeover starts from, what becomes the stored message.

`RunState` at any cursor is a snapshot; snapshot + tail equals the whole log (tested by property at every cut).
"""

from typing import Literal

import msgspec

from contracts import events as e
from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart, plain_text
from contracts.times import parse_rfc3339
from contracts.usage import LedgerEntry, Usage

RunStatus = Literal["pending", "generating", "waiting", "complete", "error", "cancelled"]
TERMINAL_STATUSES: frozenset[RunStatus] = frozenset({"complete", "error", "cancelled"})


class GapError(ValueError):
    """The event does not follow the state: something between them is missing or doubled. Read the log again."""


class StatePart(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part with the sequence of the event that opened it (a retraction drops whole parts), the agent that wrote it, and the
    model step that it came from. `failure` is that of a tool call's result."""

    opened_at: int
    value: Part
    agent: str | None = None
    step: int = 0
    failure: str | None = None


class OpenStep(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step that has begun and not finished; a takeover repeats or continues it.

    `sequence` is that of its first `step.started` (a takeover starts the same step again), `attempt` that of its last.
    `carried` counts the characters that its parts already had at the last start: earlier attempts wrote them.
    `finish_reason` is there once a model call has come to its end, so that only the end of the step is missing.
    `input_tokens` is what its context was estimated at.
    """

    step: int
    kind: Literal["model", "tool"]
    name: str
    sequence: int
    attempt: int
    carried: int = 0
    agent: str | None = None
    tool_call_id: str | None = None
    finish_reason: str | None = None
    input_tokens: int = 0


class FinishedStep(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """A step whose result is in the log."""

    step: int
    kind: Literal["model", "tool"]
    name: str
    agent: str | None = None
    tool_call_id: str | None = None
    finish_reason: str | None = None


class Waiting(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the run waits for, as its `run.waiting` says, and since when."""

    reason: str
    schema: object = None
    expires_at: str | None = None
    wait_id: str = ""
    prompt: str = ""
    tool_call_id: str = ""
    since: str = ""


class Begun(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """When an agent began its first step, and how long the run had waited by then."""

    at: str
    waited_ms: int = 0


class Steer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message of the user's that joined the answer, before the part numbered `before_part` and after the step numbered
    `after_step` had begun."""

    before_part: int
    after_step: int = 0
    text: str
    by: str
    message_id: str = ""


class RunState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Folded state of a run after the event numbered `sequence`. Parts and open steps are keyed by their numbers.

    `last_step` is the highest number of any step; `answers` says by `wait_id` how each wait ended; `waited_ms` is how long
    the run has waited for timers and people, which its deadline does not count. `agents` has every agent that has acted, the
    default one that nobody chose under the empty name.
    """

    run_id: str
    thread_id: str
    message_id: str = ""
    model: str = ""
    path: str = ""
    status: RunStatus = "pending"
    sequence: int = 0
    attempt: int = 0
    worker: str = ""
    parts: dict[int, StatePart] = {}
    next_part: int = 0
    steps_finished: int = 0
    last_step: int = 0
    open_steps: dict[int, OpenStep] = {}
    steps: list[FinishedStep] = []
    waiting: Waiting | None = None
    answers: dict[str, str] = {}
    waited_ms: int = 0
    agents: dict[str, Begun] = {}
    steers: list[Steer] = []
    ledger: list[LedgerEntry] = []
    usage: Usage = Usage()
    cost_microusd: int | None = 0
    error_code: str | None = None
    error_message: str | None = None
    cancelled_by: str | None = None
    first_text_at: str | None = None
    """When the first text or reasoning was stored."""
    started_at: str | None = None
    ended_at: str | None = None
    old_open_step: OpenStep | None = msgspec.field(default=None, name="open_step")
    """How a snapshot spelled `open_steps` while a run was one model call; read, never written."""

    def __post_init__(self) -> None:
        """Take over a snapshot of a worker from before runs had several steps: it may be that worker's death that made this
        one read it."""
        step, self.old_open_step = self.old_open_step, None
        if step is not None:
            self.open_steps[step.step], self.last_step = step, step.step
            for part in self.parts.values():
                part.step = step.step if part.opened_at >= step.sequence else part.step
        elif self.steps_finished and not self.last_step:
            self.steps = [FinishedStep(step=self.steps_finished, kind="model", name=self.model, finish_reason="stop")]
            self.last_step = self.steps_finished

    @property
    def is_terminal(self) -> bool:
        """The run has had its one terminal event."""
        return self.status in TERMINAL_STATUSES

    @property
    def open_step(self) -> OpenStep | None:
        """The first open step; tools, and agents of a panel, may have several open at once."""
        return min(self.open_steps.values(), key=lambda step: step.step, default=None)

    @property
    def message_parts(self) -> list[Part]:
        """The message's parts in order."""
        return [self.parts[number].value for number in sorted(self.parts)]

    @property
    def content(self) -> str:
        """The message's plain text."""
        return plain_text(self.message_parts)

    def apply(self, event: e.RunEvent) -> None:
        """Fold the next event in. Raises GapError, leaving the state as it was, unless `event.sequence` is the next one."""
        if event.sequence != self.sequence + 1:
            raise GapError(f"{self.run_id}: event {event.sequence} after {self.sequence}")
        _apply(self, event)
        self.sequence = event.sequence
        self.attempt = event.attempt


def _apply(state: RunState, event: e.RunEvent) -> None:
    match event:
        case e.TextDelta() | e.ReasoningDelta():
            if state.first_text_at is None:
                state.first_text_at = event.at
            _grow(state, event)
        case e.RunStarted():
            state.status, state.message_id, state.model = "generating", event.message_id, event.model
            state.path, state.started_at = event.path, event.at
        case e.AttemptStarted():
            state.worker = event.worker
        case e.StepStarted():
            state.open_steps[event.step] = _start_step(state, event)
            state.last_step = max(state.last_step, event.step)
            if (event.agent or "") not in state.agents:
                state.agents = {**state.agents, event.agent or "": Begun(at=event.at, waited_ms=state.waited_ms)}
        case e.StepFinished():
            _finish_step(state, event)
        case e.TextRetracted():
            state.parts = {
                number: part
                for number, part in state.parts.items()
                if part.opened_at < event.from_sequence
                or not isinstance(part.value, TextPart | ReasoningPart)
                or (event.agent is not None and part.agent != event.agent)
            }
        case e.ToolCall():
            _open_part(
                state,
                event,
                ToolCallPart(tool_call_id=event.tool_call_id, name=event.name, state=event.state, input=event.input),
            )
        case e.ToolProgress() | e.ToolResult():
            _update_tool(state, event)
        case e.Source():
            _open_part(
                state,
                event,
                SourcePart(source_id=event.source_id, title=event.title, url=event.url, quote=event.quote),
            )
        case e.UsageReported():
            _book(state, event)
        case e.RunWaiting():
            state.status = "waiting"
            state.waiting = Waiting(
                reason=event.reason,
                schema=event.schema,
                expires_at=event.expires_at,
                wait_id=event.wait_id,
                prompt=event.prompt,
                tool_call_id=event.tool_call_id,
                since=event.at,
            )
        case e.RunResumed():
            _resume(state, event)
        case e.RunSteered():
            steer = Steer(
                before_part=state.next_part,
                after_step=state.last_step,
                text=event.text,
                by=event.by,
                message_id=event.message_id,
            )
            state.steers = [*state.steers, steer]
        case e.RunCompleted():
            _end(state, "complete", event)
        case e.RunFailed():
            _end(state, "error", event)
            state.error_code, state.error_message = event.code, event.message
        case e.RunCancelled():
            _end(state, "cancelled", event)
            state.cancelled_by = event.by


def _start_step(state: RunState, event: e.StepStarted) -> OpenStep:
    before = state.open_steps.get(event.step)
    return OpenStep(
        step=event.step,
        kind=event.kind,
        name=event.name,
        sequence=event.sequence if before is None else before.sequence,
        attempt=event.attempt,
        carried=sum(
            len(part.value.text)
            for part in state.parts.values()
            if part.step == event.step and isinstance(part.value, TextPart | ReasoningPart)
        ),
        agent=event.agent,
        tool_call_id=event.tool_call_id,
        input_tokens=_input_tokens(event.context),
    )


def _input_tokens(context: object) -> int:
    tokens = context.get("input_tokens") if isinstance(context, dict) else None
    return tokens if isinstance(tokens, int) else 0


def _finish_step(state: RunState, event: e.StepFinished) -> None:
    step = state.open_steps.pop(event.step, None)
    state.steps_finished += 1
    if step is not None:
        finished = FinishedStep(
            step=step.step,
            kind=step.kind,
            name=step.name,
            agent=step.agent,
            tool_call_id=step.tool_call_id,
            finish_reason=event.finish_reason,
        )
        state.steps = [*state.steps, finished]


def _resume(state: RunState, event: e.RunResumed) -> None:
    waiting = state.waiting
    if waiting is not None:
        waited = parse_rfc3339(event.at) - parse_rfc3339(waiting.since)
        # Two workers' clocks may differ by more than a short wait.
        state.waited_ms += max(0, round(waited.total_seconds() * 1000))
        state.answers = {**state.answers, waiting.wait_id: event.reason}
    state.status, state.waiting = "generating", None


def _open_part(state: RunState, event: e.TextDelta | e.ReasoningDelta | e.ToolCall | e.Source, value: Part) -> None:
    state.parts[event.part] = StatePart(
        opened_at=event.sequence, value=value, agent=event.agent, step=_step_of(state, event.agent)
    )
    state.next_part = max(state.next_part, event.part + 1)


def _step_of(state: RunState, agent: str | None) -> int:
    """The open model step of that agent, else the newest open model step, 0 where none is open."""
    steps = [step for step in state.open_steps.values() if step.kind == "model"]
    mine = [step.step for step in steps if step.agent == agent]
    return max(mine or [step.step for step in steps], default=0)


def _grow(state: RunState, event: e.TextDelta | e.ReasoningDelta) -> None:
    part = state.parts.get(event.part)
    if part is None or not isinstance(part.value, TextPart | ReasoningPart):
        # A stored answer's parts are numbered anew where numbers were taken back (gateway, stored_log): the text that a
        # viewer is given then may have the number that a source or a tool had.
        value: Part = TextPart(text=event.delta) if isinstance(event, e.TextDelta) else ReasoningPart(text=event.delta)
        _open_part(state, event, value)
    else:
        # CPython appends in place only to a string that a local alone refers to; `part.value.text += …` copies the whole
        # text each time (100,000 tokens: 0.7 s instead of 0.05, 400,000: 34 s instead of 0.2).
        text = part.value.text
        part.value.text = ""
        text += event.delta
        part.value.text = text


def _update_tool(state: RunState, event: e.ToolProgress | e.ToolResult) -> None:
    # Providers number calls anew in each answer, so an id may come back: the last one with it is meant.
    for part in reversed(state.parts.values()):
        call = part.value
        if isinstance(call, ToolCallPart) and call.tool_call_id == event.tool_call_id:
            call.state = event.state
            call.started_at = event.started_at or call.started_at
            if isinstance(event, e.ToolResult):
                call.output, call.error, call.ended_at = event.output, event.error, event.ended_at
                part.failure = event.failure
            return


def _book(state: RunState, event: e.UsageReported) -> None:
    entry = LedgerEntry(
        attempt=event.of_attempt,
        step=event.step,
        model=event.model,
        usage=event.usage,
        cost_microusd=event.cost_microusd,
    )
    state.ledger = [*state.ledger, entry]
    state.usage = state.usage + event.usage
    step = state.open_steps.get(event.step)
    if step is not None and event.of_attempt == step.attempt:
        step.finish_reason = event.finish_reason
    if state.cost_microusd is not None:
        state.cost_microusd = None if event.cost_microusd is None else state.cost_microusd + event.cost_microusd


def _end(state: RunState, status: RunStatus, event: e.Terminal) -> None:
    state.status, state.ended_at, state.open_steps, state.waiting = status, event.at, {}, None


class Snapshot(msgspec.Struct, kw_only=True):
    """A folded state in the log. `stream_sequence` is the RUNS sequence of the last event folded in: the tail follows it."""

    state: RunState
    stream_sequence: int


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Snapshot] = msgspec.json.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The bytes of a snapshot entry."""
    return _encoder.encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot entry back; raises msgspec.ValidationError."""
    return _decoder.decode(data)
