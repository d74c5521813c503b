"""A log for what has none any more: events that fold to the stored message, for viewers who come after the log expired.

The first half of a synthetic cursor is 0, so that a reconnect in the middle starts over, with a retraction; a run's
terminal event has STORED_END, which no stream reaches, so that a reconnect after it is told that there is nothing more.
"""

from typing import Final, TypedDict

import msgspec
from contracts.cursor import Cursor
from contracts.events import (
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    Source,
    TextDelta,
    TextRetracted,
    ToolCall,
    ToolResult,
    UsageReported,
)
from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.run_state import RunState
from contracts.usage import Usage

from gateway.domain.frames import event_frame
from gateway.domain.records import Message, Run

STORED_END: Final = 2**63 - 1


class _Head(TypedDict):
    thread_id: str
    run_id: str
    attempt: int
    at: str


_parts: msgspec.json.Decoder[list[Part]] = msgspec.json.Decoder(list[Part])


def parts_of(message: Message) -> list[Part]:
    """The stored parts; a message without any has its content as one text part."""
    parts = _parts.decode(message.parts_json) if message.parts_json else []
    return parts or ([TextPart(text=message.content)] if message.content else [])


def stored_events(run: Run, message: Message, *, seen: int = 0) -> list[RunEvent]:
    """The events, numbered from `seen` + 1, that bring a viewer who has folded `seen` events to the stored message.

    A viewer who has seen some is first told to drop its text. Such a one may have seen what the calls used, too, so only a
    viewer from the beginning gets a `usage` event, for all calls at once; the terminal event has the totals for both.
    """
    begun = _Head(thread_id=run.thread_id, run_id=run.id, attempt=max(run.attempts, 1), at=run.created_at)
    ended = begun | {"at": run.ended_at or run.created_at}
    made = [retraction(run, seen=seen)] if seen else []
    made.append(
        RunStarted(**begun, sequence=seen + len(made) + 1, message_id=message.id, model=run.model, path=run.path)
    )
    for number, part in enumerate(parts_of(message)):
        made += _part_events(part, number, ended, seen + len(made) + 1)
    if not seen and message.usage is not None:
        made.append(
            UsageReported(
                **ended,
                sequence=len(made) + 1,
                step=1,
                of_attempt=ended["attempt"],
                model=run.model,
                usage=message.usage,
                cost_microusd=message.cost_microusd,
            )
        )
    made.append(_terminal(run, message, ended, seen + len(made) + 1))
    return made


def state_events(state: RunState, *, seen: int = 0) -> list[RunEvent]:
    """The same for a run that still runs and whose log has lost its beginning: its folded state, without an end."""
    head = _Head(
        thread_id=state.thread_id,
        run_id=state.run_id,
        attempt=max(state.attempt, 1),
        at=state.started_at or "",
    )
    made: list[RunEvent] = [TextRetracted(**head, sequence=seen + 1, from_sequence=1)] if seen else []
    made.append(
        RunStarted(
            **head,
            sequence=seen + len(made) + 1,
            message_id=state.message_id,
            model=state.model,
            path=state.path,
        )
    )
    for number in sorted(state.parts):
        made += _part_events(state.parts[number].value, number, head, seen + len(made) + 1)
    return made


def retraction(run: Run, *, seen: int) -> RunEvent:
    """Drop all text of a run, as the event after the `seen`th."""
    return TextRetracted(
        thread_id=run.thread_id,
        run_id=run.id,
        attempt=max(run.attempts, 1),
        at=run.ended_at or run.created_at,
        sequence=seen + 1,
        from_sequence=1,
    )


def frames_of(events: list[RunEvent], *, end: int = STORED_END) -> bytes:
    """Synthetic events as one piece of wire, with their cursors; `end` is the first half of a terminal event's."""
    ends = (RunCompleted, RunFailed, RunCancelled)
    return b"".join(
        event_frame(Cursor(end if isinstance(event, ends) else 0, event.sequence), event) for event in events
    )


def _part_events(part: Part, number: int, head: _Head, sequence: int) -> list[RunEvent]:
    match part:
        case TextPart():
            return [TextDelta(**head, sequence=sequence, part=number, delta=part.text)]
        case ReasoningPart():
            return [ReasoningDelta(**head, sequence=sequence, part=number, delta=part.text)]
        case SourcePart():
            return [
                Source(
                    **head,
                    sequence=sequence,
                    part=number,
                    source_id=part.source_id,
                    title=part.title,
                    url=part.url,
                    quote=part.quote,
                )
            ]
        case ToolCallPart():
            return _tool_events(part, number, head, sequence)


def _tool_events(part: ToolCallPart, number: int, head: _Head, sequence: int) -> list[RunEvent]:
    called = ToolCall(
        **head,
        sequence=sequence,
        part=number,
        tool_call_id=part.tool_call_id,
        name=part.name,
        input=part.input,
        state=part.state,
    )
    if part.started_at is None and part.ended_at is None and part.output is None and part.error is None:
        return [called]
    result = ToolResult(
        **head,
        sequence=sequence + 1,
        tool_call_id=part.tool_call_id,
        name=part.name,
        state=part.state,
        output=part.output,
        error=part.error,
        started_at=part.started_at,
        ended_at=part.ended_at,
    )
    return [called, result]


def _terminal(run: Run, message: Message, head: _Head, sequence: int) -> RunEvent:
    usage = message.usage or run.usage or Usage()
    cost = message.cost_microusd if message.cost_microusd is not None else run.cost_microusd
    if run.status == "error":
        return RunFailed(
            **head,
            sequence=sequence,
            message_id=message.id,
            code=run.error_code or message.error_code,
            message=run.error_message or message.error_message,
            usage=usage,
            cost_microusd=cost,
        )
    if run.status == "cancelled":
        return RunCancelled(
            **head, sequence=sequence, message_id=message.id, by=message.cancelled_by, usage=usage, cost_microusd=cost
        )
    return RunCompleted(**head, sequence=sequence, message_id=message.id, usage=usage, cost_microusd=cost)
