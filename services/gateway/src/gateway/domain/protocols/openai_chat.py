"""OpenAI `chat.completion.chunk`: a stream of text that can only grow, and its end.

- A tool that Everthread runs itself is not shown as `tool_calls`: a client that sees one must run it. What is still
  pending when the run completes was left to the client, and goes out then, with `finish_reason: "tool_calls"`.
- A retraction that does not come back with the same words cannot be expressed: the stream ends with an error that names
  the run (docs/adr/0006-retraction-in-protocols-without-one.md). A cancelled run ends with `finish_reason: "cancelled"`.
- Where several agents answer at once, the text of one is held back while an earlier text may still grow.
- Reasoning goes out as `delta.reasoning_content`, as DeepSeek, vLLM and others do; it is not part of the answer.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from contracts import events as e
from contracts.parts import Part, TextPart, ToolCallPart, plain_text
from contracts.times import parse_rfc3339
from contracts.usage import Usage

from gateway.domain.protocols.frame import Frame, frame
from gateway.domain.protocols.json_text import json_text
from gateway.domain.protocols.retraction import is_retracted
from gateway.domain.protocols.shown_text import ShownText

FINISH_REASONS: Final = frozenset({"stop", "length", "content_filter"})


def completion_id(run_id: str) -> str:
    """`chatcmpl-<ULID>` of `run_<ULID>`."""
    return "chatcmpl-" + run_id.partition("_")[2]


@dataclass(slots=True)
class _Text:
    """A text part of the log; the first `told` of its `deltas` have been said."""

    opened_at: int
    agent: str | None
    deltas: list[str] = field(default_factory=list)
    told: int = 0


class ChatMapping:
    """One run's chunks. `include_usage` is the request's `stream_options.include_usage`; `finish_reason` is final once
    `ended`."""

    def __init__(self, *, include_usage: bool = False) -> None:
        self.ended = False
        self._include_usage = include_usage
        self._head: dict[str, Any] = {}
        self._texts: dict[int, _Text] = {}
        self._last_told = -1
        self._working: dict[int, str | None] = {}
        self._shown = ShownText()
        self._pending: dict[str, e.ToolCall] = {}
        self.finish_reason = "stop"

    def opening(self) -> list[Frame]:
        """Nothing stands before the log."""
        return []

    def feed(self, event: e.RunEvent) -> list[Frame]:
        """The chunks of the next event of the log; none after the stream ended."""
        if self.ended:
            return []
        match event:
            case e.TextDelta():
                return self._text(event)
            case e.ReasoningDelta():
                return [self._chunk({"reasoning_content": event.delta})] if event.delta else []
            case e.RunStarted():
                self._open(event, event.model)
                return [self._chunk({"role": "assistant", "content": ""})]
            case e.StepStarted():
                if event.kind == "model":
                    self._working[event.step] = event.agent
            case e.StepFinished():
                if event.finish_reason in FINISH_REASONS:
                    self.finish_reason = event.finish_reason
                self._working.pop(event.step, None)
                return self._tell(event)
            case e.TextRetracted():
                return self._retract(event)
            case e.ToolCall():
                self._pending[event.tool_call_id] = event
            case e.ToolProgress() | e.ToolResult():
                self._pending.pop(event.tool_call_id, None)
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                return self._end(event)
            case _:
                pass
        return []

    def _open(self, event: e.RunEvent, model: str) -> None:
        self._head = {
            "id": completion_id(event.run_id),
            "object": "chat.completion.chunk",
            "created": int(parse_rfc3339(event.at).timestamp()),
            "model": model,
        }

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return frame(self._head | {"choices": [choice]})

    def _text(self, event: e.TextDelta) -> list[Frame]:
        text = self._texts.get(event.part)
        if text is None:
            text = self._texts[event.part] = _Text(event.sequence, event.agent)
        text.deltas.append(event.delta)
        if event.part < self._last_told:
            # An earlier part grew: the log's text changed in its middle.
            self._shown.take_back(self._told())
            return self._diverged(event)
        return self._tell(event)

    def _tell(self, event: e.RunEvent) -> list[Frame]:
        """What can be said now: every text up to the first one that may still grow."""
        frames: list[Frame] = []
        for number in sorted(self._texts):
            if number < self._last_told:
                continue
            text = self._texts[number]
            self._last_told = number
            for delta in text.deltas[text.told :]:
                new = self._shown.add(delta)
                if self._shown.diverged:
                    return [*frames, *self._diverged(event)]
                frames += [self._chunk({"content": new})] if new else []
            text.told = len(text.deltas)
            if self._may_grow(number):
                break
        return frames

    def _may_grow(self, number: int) -> bool:
        agent = self._texts[number].agent
        last = max(other for other, text in self._texts.items() if text.agent == agent)
        return number == last and agent in self._working.values()

    def _retract(self, event: e.TextRetracted) -> list[Frame]:
        self._texts = {
            number: text for number, text in self._texts.items() if not is_retracted(event, text.opened_at, text.agent)
        }
        self._last_told = max((number for number, text in self._texts.items() if text.told), default=-1)
        self._shown.take_back(self._told())
        return self._diverged(event) if self._shown.diverged else self._tell(event)

    def _told(self) -> str:
        return "".join(
            "".join(self._texts[number].deltas[: self._texts[number].told]) for number in sorted(self._texts)
        )

    def _diverged(self, event: e.RunEvent) -> list[Frame]:
        self.ended = True
        return [
            error_frame(
                "A worker was lost and the answer was written anew, with other words than this stream has shown. "
                f"It is not lost: run {event.run_id} goes on and its answer will be stored.",
                "server_error",
                "text_retracted",
            )
        ]

    def _end(self, event: e.Terminal) -> list[Frame]:
        if not self._head:
            self._open(event, "")
        self._working.clear()
        frames = self._tell(event)
        if self.ended:
            return frames
        if not self._shown.complete:
            return [*frames, *self._diverged(event)]
        self.ended = True
        match event:
            case e.RunFailed():
                return [*frames, error_frame(event.message, "server_error", event.code)]
            case e.RunCancelled():
                self.finish_reason = "cancelled"
            case e.RunCompleted():
                calls = list(self._pending.values())
                for index, call in enumerate(calls):
                    frames.append(self._chunk({"tool_calls": [{"index": index} | tool_call(call)]}))
                self.finish_reason = "tool_calls" if calls else self.finish_reason
        frames.append(self._chunk({}, self.finish_reason))
        if self._include_usage:
            frames.append(frame(self._head | {"choices": [], "usage": usage_object(event.usage)}))
        return frames


class FinishMapping:
    """No frames: for a request without `stream`, which only wants to know how the last model call ended."""

    ended = False

    def __init__(self) -> None:
        self.finish_reason = "stop"

    def opening(self) -> list[Frame]:
        """Nothing."""
        return []

    def feed(self, event: e.RunEvent) -> list[Frame]:
        """Nothing."""
        if isinstance(event, e.StepFinished) and event.finish_reason in FINISH_REASONS:
            self.finish_reason = event.finish_reason
        return []


def error_frame(message: str, kind: str, code: str) -> Frame:
    """An error in the middle of a stream: both SDKs raise it as APIError."""
    return frame({"error": {"message": message, "type": kind, "param": None, "code": code}})


def tool_call(call: e.ToolCall | ToolCallPart) -> dict[str, Any]:
    """A call that the client shall run."""
    function = {"name": call.name, "arguments": json_text(call.input)}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` as chat.completions has it."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completion(
    *, run_id: str, created_at: str, model: str, status: str, finish_reason: str, parts: list[Part], usage: Usage
) -> dict[str, Any]:
    """The whole answer, for a request without `stream`. `created_at` is RFC 3339; `status` the run's, complete or cancelled;
    `finish_reason` the last model call's."""
    calls = [tool_call(part) for part in parts if isinstance(part, ToolCallPart) and part.state == "pending"]
    if status == "cancelled" or calls:
        finish_reason = "cancelled" if status == "cancelled" else "tool_calls"
    has_text = any(isinstance(part, TextPart) for part in parts)
    message: dict[str, Any] = {"role": "assistant", "content": plain_text(parts) if has_text else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": completion_id(run_id),
        "object": "chat.completion",
        "created": int(parse_rfc3339(created_at).timestamp()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": usage_object(usage),
    }
