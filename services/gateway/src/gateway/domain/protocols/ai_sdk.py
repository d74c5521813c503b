"""Vercel AI SDK: UI message chunks (`ai` 7, uiMessageChunkSchema and processUIMessageStream).

Facts from that source which shape this file:
- A delta or end whose start was not in the same response is an error, and an unknown type kills the stream.
- `reset-step` takes back everything after the last `start-step`, tools and sources too; what the log keeps of that step
  is sent again behind it. Nothing can take back an earlier step.
- Agents that answer at once share one step of the client: a step each would cut the others' texts in two.
- A result finds its tool call in any step, so tools that run after the model's step need no step of their own.
- An approval is answered by a new POST, which the client only sends once the response has ended: waiting for an approval
  ends the response with `finish`. What follows belongs to the next **segment**, a response of its own.
- The answer to what came of the client's own calls goes on in the message that made them: the client puts its parts behind those
  that it has, and would show the message twice if the answer had another id. Who resumes builds the message anew, and needs all of it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from contracts import events as e
from contracts.codes import Code
from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.run_state import RunState

from gateway.domain.problems import Refusal
from gateway.domain.protocols.ai_sdk_chunks import (
    Chunk,
    about,
    earlier_chunks,
    end_chunks,
    part_chunks,
    result_chunks,
    waiting_chunks,
    waiting_data,
    with_agent,
)
from gateway.domain.protocols.frame import Frame, FramePlace, frame
from gateway.domain.protocols.retraction import is_retracted
from gateway.domain.protocols.terminal import terminal_event

FINISH_REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
}


class _Part:
    """A part of the step that is open in the client: enough to send it again after `reset-step`."""

    __slots__ = ("agent", "opened_at", "texts", "value")

    def __init__(self, value: Part, opened_at: int, agent: str | None) -> None:
        self.value, self.opened_at, self.agent = value, opened_at, agent
        self.texts: list[str] = []


class AiSdkMapping:
    """One run's chunks. `segment` counts the responses that an approval cut the run into, from 0. Where the run goes on in a
    message that the client has, `continues` is its id there; `before` are the answers in it for who does not have them, each
    with what came of its calls."""

    def __init__(self, continues: str = "", before: Sequence[Sequence[Part]] = ()) -> None:
        self.segment = 0
        self._continues = continues
        self._before = before
        self._message_id = continues
        self._opened = False
        self._step: int | None = None
        self._step_number = 0
        self._working: dict[int, str | None] = {}
        # The client's last step is not this run's where it goes on in a message: a `reset-step` would reach into it.
        self._fresh = not continues
        self._parts: dict[int, _Part] = {}
        self._open: dict[int, tuple[str, str]] = {}
        self._earlier_texts: dict[int, tuple[int, str | None]] = {}
        self._calls: dict[str, ToolCallPart] = {}
        self._finish_reason = "stop"
        self._attempt = 1
        self._waiting_shown = False
        self._made_anew = False
        self.answered_in: dict[str, int] = {}
        """Approvals asked for so far, and the segment that follows the answer to each."""

    @property
    def ended(self) -> bool:
        """The response has had its `finish`; the next event with frames opens the next segment."""
        return not self._opened

    def made_anew(self, *, ended: bool) -> None:
        """See CountedMapping."""
        self._made_anew = True

    def come_back(self, place: FramePlace) -> FramePlace:
        """The client counts what it got, of whatever it was told, and nothing takes back an earlier step: it has to load the
        message, which is another request."""
        if self._made_anew:
            raise Refusal(
                Code.CURSOR_INVALID,
                "What was streamed of this answer is not kept any more, so it cannot be gone on with there. The whole answer is "
                "stored: reload to see it.",
                status=410,
            )
        return place

    def opening(self) -> list[Frame]:
        """Nothing stands before the log."""
        return []

    def feed(self, event: e.RunEvent) -> list[Frame]:
        """The chunks of the next event of the log."""
        if isinstance(event, e.TextDelta) and event.part in self._open:
            self._parts[event.part].texts.append(event.delta)
            return [frame({"type": "text-delta", "id": self._open[event.part][1], "delta": event.delta})]
        return [frame(chunk) for chunk in self._chunks(event)]

    def prelude(self, state: RunState) -> list[Frame]:
        """Chunks for a client that knows nothing of the run: the message as it is now, open where this mapping has it open, so
        that what `feed` says next goes on behind it. `state` is the fold of what was fed.

        Few and large: each part once, whole. They are not counted, so they are never mixed with `startIndex`.
        """
        metadata = about(state)
        if state.attempt > 1:
            metadata["attempt"] = state.attempt
        message_id = self._continues or state.message_id
        chunks: list[Chunk] = [{"type": "start", "messageId": message_id, "messageMetadata": metadata}]
        chunks += earlier_chunks(self._before)
        parts = [(number, state.parts[number]) for number in sorted(state.parts)]
        before = [item for item in parts if item[0] not in self._parts]
        inside = [item for item in parts if item[0] in self._parts]
        if before:
            chunks.append({"type": "start-step"})
            for number, part in before:
                chunks += part_chunks(part.value, part.agent, str(number), still_open=False)
            chunks.append({"type": "finish-step"})
        if self._step is not None:
            chunks.append({"type": "start-step"})
        for number, part in inside:
            _, identity = self._open.get(number, ("", str(number)))
            chunks += part_chunks(part.value, part.agent, identity, still_open=number in self._open)
        if state.waiting is not None:
            calls = [part.value for _, part in parts if isinstance(part.value, ToolCallPart)]
            waiting = state.waiting
            asked, answers = waiting_chunks(waiting, calls)
            chunks += asked
            if answers:
                chunks.append({"type": "finish", "finishReason": "tool-calls"})
        end = terminal_event(state)
        if end is not None:
            chunks += end_chunks(end, self._reason_at_end())
        return [frame(chunk) for chunk in chunks]

    def _chunks(self, event: e.RunEvent) -> list[Chunk]:
        match event:
            case e.TextDelta() | e.ReasoningDelta():
                return self._ensure_step() + self._delta(event)
            case e.RunStarted():
                self._message_id = self._continues or event.message_id
                return self._start(about(event))
            case e.AttemptStarted():
                return self._attempt_started(event)
            case e.StepStarted():
                return self._ensure() + self._step_started(event)
            case e.StepFinished():
                if event.finish_reason is not None:
                    self._finish_reason = FINISH_REASONS.get(event.finish_reason, "other")
                self._working.pop(event.step, None)
                return self._ensure() + self._end_parts_of(event.agent)
            case e.TextRetracted():
                return self._ensure() + self._retract(event)
            case e.ToolCall():
                value = ToolCallPart(
                    tool_call_id=event.tool_call_id, name=event.name, state=event.state, input=event.input
                )
                part = _Part(value, event.sequence, event.agent)
                ended = self._end_reasoning(event.agent)
                return self._ensure_step() + ended + self._whole(event.part, part, still_open=False)
            case e.ToolProgress() | e.ToolResult():
                return self._ensure() + self._tool(event)
            case e.Source():
                source = SourcePart(source_id=event.source_id, title=event.title, url=event.url, quote=event.quote)
                part = _Part(source, event.sequence, event.agent)
                return self._ensure_step() + self._whole(event.part, part, still_open=False)
            case e.UsageReported():
                return []
            case e.RunWaiting():
                return self._ensure() + self._wait(event)
            case e.RunResumed():
                return self._ensure() + self._resumed(event.reason)
            case e.RunSteered():
                # Not told: the client shows the message that it sent.
                return []
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                self._message_id = self._message_id or event.message_id
                return self._ensure() + self._end(event)

    def _ensure(self) -> list[Chunk]:
        """Frames that must stand before any other: `start`, when a segment begins without `run.started`."""
        return [] if self._opened else self._start(None)

    def _ensure_step(self) -> list[Chunk]:
        """Before a new part: a step of its own unless the client's last one is still open, so that a `reset-step` can
        only reach what this mapping remembers."""
        return self._ensure() if self._fresh else self._ensure() + self._start_step(self._step_number)

    def _start(self, metadata: dict[str, Any] | None) -> list[Chunk]:
        self._opened = True
        start: Chunk = {"type": "start"}
        if self._message_id:
            start["messageId"] = self._message_id
        if metadata is not None:
            start["messageMetadata"] = metadata
        return [start, *(earlier_chunks(self._before) if self.segment == 0 else [])]

    def _attempt_started(self, event: e.AttemptStarted) -> list[Chunk]:
        if event.attempt <= self._attempt or not self._opened:
            return []
        self._attempt = event.attempt
        return [{"type": "message-metadata", "messageMetadata": {"attempt": event.attempt}}]

    def _step_started(self, event: e.StepStarted) -> list[Chunk]:
        if event.kind == "tool":
            return []
        # A takeover starts the interrupted step again: for the client it is the same step.
        goes_on = event.step == self._step_number or event.step in self._working
        beside_others = any(agent != event.agent for agent in self._working.values())
        self._working[event.step] = event.agent
        if self._step is not None and (goes_on or beside_others):
            return []
        return self._finish_step() + self._start_step(event.step)

    def _start_step(self, number: int) -> list[Chunk]:
        self._step = self._step_number = number
        self._fresh = True
        return [{"type": "start-step"}]

    def _finish_step(self) -> list[Chunk]:
        """End the step in the client. It stays open in the log's sense until the next model step, for its tools."""
        chunks = self._end_open(list(self._open))
        for number, part in self._parts.items():
            if isinstance(part.value, TextPart | ReasoningPart):
                self._earlier_texts[number] = (part.opened_at, part.agent)
        self._parts, self._fresh = {}, False
        if self._step is None:
            return chunks
        self._step = None
        return [*chunks, {"type": "finish-step"}]

    def _delta(self, event: e.TextDelta | e.ReasoningDelta) -> list[Chunk]:
        kind = "text" if isinstance(event, e.TextDelta) else "reasoning"
        chunks: list[Chunk] = []
        if event.part not in self._open:
            # Thinking is over once something else begins; a page shows it as finished then.
            chunks += self._end_reasoning(event.agent)
            known = self._parts.get(event.part)
            if known is None or not isinstance(known.value, TextPart | ReasoningPart):
                # Also where a source or a tool had the number: a stored answer's parts are numbered anew.
                value: Part = TextPart(text="") if kind == "text" else ReasoningPart(text="")
                self._parts[event.part] = known = _Part(value, event.sequence, event.agent)
                identity = str(event.part)
            else:
                # The part was closed. Its id may not be used twice in a step (WorkflowChatTransport drops the second).
                identity = f"{event.part}-{event.sequence}"
            chunks.append(self._open_text(event.part, kind, identity, event.agent))
        self._parts[event.part].texts.append(event.delta)
        return [*chunks, {"type": f"{kind}-delta", "id": self._open[event.part][1], "delta": event.delta}]

    def _open_text(self, number: int, kind: str, identity: str, agent: str | None) -> Chunk:
        self._open[number] = (kind, identity)
        return with_agent({"type": f"{kind}-start", "id": identity}, agent)

    def _end_reasoning(self, agent: str | None) -> list[Chunk]:
        mine = [number for number in self._open if self._parts[number].agent == agent]
        return self._end_open([number for number in mine if self._open[number][0] == "reasoning"])

    def _end_parts_of(self, agent: str | None) -> list[Chunk]:
        return self._end_open([number for number in self._open if self._parts[number].agent == agent])

    def _end_open(self, numbers: Iterable[int]) -> list[Chunk]:
        closed = [self._open.pop(number) for number in numbers]
        return [{"type": f"{kind}-end", "id": identity} for kind, identity in closed]

    def _retract(self, event: e.TextRetracted) -> list[Chunk]:
        if any(is_retracted(event, opened_at, agent) for opened_at, agent in self._earlier_texts.values()):
            return [
                {
                    "type": "error",
                    "errorText": "The answer was taken back from an earlier step on. It goes on; reload to see it.",
                }
            ]
        kept = [
            (number, part)
            for number, part in self._parts.items()
            if not isinstance(part.value, TextPart | ReasoningPart)
            or not is_retracted(event, part.opened_at, part.agent)
        ]
        if len(kept) == len(self._parts):
            return []
        was_open = self._open
        self._parts, self._open = {}, {}
        chunks: list[Chunk] = [{"type": "reset-step"}]
        for number, part in kept:
            chunks += self._whole(number, part, still_open=number in was_open)
        return chunks

    def _whole(self, number: int, part: _Part, *, still_open: bool) -> list[Chunk]:
        """A part in one piece, as it is now, and remembered as part of the open step."""
        self._parts[number] = part
        value = part.value
        if isinstance(value, ToolCallPart):
            self._calls[value.tool_call_id] = value
        elif isinstance(value, TextPart | ReasoningPart):
            kind = "text" if isinstance(value, TextPart) else "reasoning"
            value = type(value)(text="".join(part.texts))
            if still_open:
                self._open[number] = (kind, str(number))
        return part_chunks(value, part.agent, str(number), still_open=still_open)

    def _tool(self, event: e.ToolProgress | e.ToolResult) -> list[Chunk]:
        call = self._calls.get(event.tool_call_id)
        if call is None:
            return []
        call.state = event.state
        if isinstance(event, e.ToolProgress):
            data = {"tool_call_id": event.tool_call_id, "name": event.name, "progress": event.progress}
            return [{"type": "data-tool-progress", "id": event.tool_call_id, "data": data, "transient": True}]
        call.output, call.error, call.ended_at = event.output, event.error, event.ended_at
        return result_chunks(call)

    def _wait(self, event: e.RunWaiting) -> list[Chunk]:
        chunks, answers = waiting_chunks(event, self._calls.values())
        if not answers:
            self._waiting_shown = True
            return chunks
        chunks += [*self._finish_step(), {"type": "finish", "finishReason": "tool-calls"}]
        self._close()
        self.answered_in |= dict.fromkeys(answers, self.segment)
        return chunks

    def _resumed(self, reason: str) -> list[Chunk]:
        if not self._waiting_shown:
            return []
        self._waiting_shown = False
        return [waiting_data({"reason": reason, "resumed": True})]

    def _end(self, event: e.Terminal) -> list[Chunk]:
        chunks = self._finish_step() + end_chunks(event, self._reason_at_end())
        self._close()
        return chunks

    def _reason_at_end(self) -> str:
        """Calls that are pending when a run completes are left to the client, whatever the provider calls that."""
        left = any(call.state == "pending" for call in self._calls.values())
        return FINISH_REASONS["tool_calls"] if left else self._finish_reason

    def _close(self) -> None:
        self._opened = False
        self.segment += 1
