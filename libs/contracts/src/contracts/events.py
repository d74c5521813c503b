"""Run events: one class per entry that a run's log can hold, as the worker writes it and the browser gets it.

Every event has `type thread_id run_id sequence attempt at`. `sequence` starts at 1 and is gapless within a run;
`at` is RFC 3339 UTC with milliseconds. The bytes in the log are this JSON; every native viewer is sent the same bytes.
Adding one: docs/adding-an-event.md.
"""

from typing import Any, Literal

import msgspec

from contracts.parts import ToolState
from contracts.usage import Usage


class _Event(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True):
    thread_id: str
    run_id: str
    sequence: int
    attempt: int
    at: str
    agent: str | None = None


class RunStarted(_Event, tag="run.started"):
    """The first event of a run. `message_id` is the assistant message that the run fills."""

    message_id: str
    model: str
    path: str


class AttemptStarted(_Event, tag="attempt.started"):
    """A worker took the run. From the second attempt on, the one before it died, hung or was drained. `published_at` is when
    the broker got the command that it follows; `trace_id` finds the attempt's trace, where one is recorded."""

    worker: str
    published_at: str | None = None
    trace_id: str | None = None


class StepStarted(_Event, tag="step.started"):
    """A model call or a tool call begins. `step` counts from 1 within the run; a tool's step names its `tool_call_id`.
    `context` says how a model's context was fitted to its window."""

    step: int
    kind: Literal["model", "tool"]
    name: str
    tool_call_id: str | None = None
    context: Any = None


class StepFinished(_Event, tag="step.finished"):
    """The step's result is in the log; it is never repeated. `finish_reason` is the provider's, for model steps."""

    step: int
    finish_reason: str | None = None


class TextDelta(_Event, tag="text.delta"):
    """An increment of the text part numbered `part` (parts are numbered from 0 in the order they opened)."""

    part: int
    delta: str


class ReasoningDelta(_Event, tag="reasoning.delta"):
    """An increment of the reasoning part numbered `part`."""

    part: int
    delta: str


class TextRetracted(_Event, tag="text.retracted"):
    """Every text and reasoning event with a sequence of `from_sequence` or later is taken back; where several agents write at
    once, so that this event has an `agent`, only that agent's.

    The producer retracts whole parts only: it names the `step.started` of the interrupted step.
    """

    from_sequence: int


class ToolCall(_Event, tag="tool.call"):
    """The model asked for a tool; `part` is its place among the message's parts."""

    part: int
    tool_call_id: str
    name: str
    input: Any
    state: ToolState


class ToolProgress(_Event, tag="tool.progress"):
    """A tool says how far it is."""

    tool_call_id: str
    name: str
    state: ToolState
    progress: Any = None
    started_at: str | None = None


class ToolResult(_Event, tag="tool.result"):
    """A tool ended with `output`, or with `error` as a sentence. `failure` says what kind of error it is: `arguments` and
    `unknown_tool` are the model's own, `timeout` and `failed` the tool's, `denied`, `expired` and `stopped` a person's."""

    tool_call_id: str
    name: str
    state: ToolState
    output: Any = None
    error: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    failure: str | None = None


class Source(_Event, tag="source"):
    """A source part."""

    part: int
    source_id: str
    title: str
    url: str | None = None
    quote: str | None = None


class UsageReported(_Event, tag="usage"):
    """What one model call used and cost: one ledger entry.

    `of_attempt` differs from `attempt` when a takeover books the interrupted call of the attempt before. With a
    `finish_reason`, the provider's, the call came to its end: all that it said is in the log before this event, and it is
    never made again, even where its `step.finished` is missing.
    """

    step: int
    of_attempt: int
    model: str
    usage: Usage
    cost_microusd: int | None
    finish_reason: str | None = None


class RunWaiting(_Event, tag="run.waiting"):
    """The run waits for a timer or a person and holds no process. `reason` is `timer`, `input` or `approval`; `wait_id` is
    what a command names to answer it, `schema` describes the input it waits for, `prompt` asks for it in words, and
    `tool_call_id` is the call that waits. A timer ends well at `expires_at`; the others fail closed then."""

    reason: str
    schema: Any = None
    expires_at: str | None = None
    wait_id: str = ""
    prompt: str = ""
    tool_call_id: str = ""


class RunResumed(_Event, tag="run.resumed"):
    """What the run waited for has come, or can come no more. `reason` is `timer`, `input`, `approved`, `denied` or `expired`;
    `by` is the user who answered."""

    reason: str
    wait_id: str = ""
    by: str = ""


class RunSteered(_Event, tag="run.steered"):
    """The user's message `text` joined the answer here: every later step is made with it."""

    text: str
    by: str
    message_id: str = ""


class RunCompleted(_Event, tag="run.completed"):
    """Terminal: the answer is whole. `usage` and `cost_microusd` sum all attempts; cost is null where a price is unknown."""

    message_id: str
    usage: Usage
    cost_microusd: int | None


class RunFailed(_Event, tag="run.failed"):
    """Terminal: the run ended without a whole answer. `code` is stable, `message` a sentence for a person."""

    message_id: str
    code: str
    message: str
    usage: Usage
    cost_microusd: int | None


class RunCancelled(_Event, tag="run.cancelled"):
    """Terminal: somebody stopped it; what was written stays. `by` is the user's id."""

    message_id: str
    by: str
    usage: Usage
    cost_microusd: int | None


RunEvent = (
    RunStarted
    | AttemptStarted
    | StepStarted
    | StepFinished
    | TextDelta
    | ReasoningDelta
    | TextRetracted
    | ToolCall
    | ToolProgress
    | ToolResult
    | Source
    | UsageReported
    | RunWaiting
    | RunResumed
    | RunSteered
    | RunCompleted
    | RunFailed
    | RunCancelled
)
Terminal = RunCompleted | RunFailed | RunCancelled
TERMINAL_TYPES = frozenset({"run.completed", "run.failed", "run.cancelled"})

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[RunEvent] = msgspec.json.Decoder(RunEvent)


class _Head(msgspec.Struct):
    type: str
    sequence: int
    run_id: str


_head_decoder = msgspec.json.Decoder(_Head)


def encode_event(event: RunEvent) -> bytes:
    """The bytes that go into the log and, unchanged, to every native viewer."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> RunEvent:
    """Read an event back. Unknown fields are ignored (a newer worker may have written them); raises msgspec.ValidationError."""
    return _decoder.decode(data)


def event_head(data: bytes) -> tuple[str, int, str]:
    """`(type, sequence, run_id)` of an encoded event, without building the rest."""
    head = _head_decoder.decode(data)
    return head.type, head.sequence, head.run_id
