"""OpenAI `chat.completion.chunk`: a stream of text that can only grow, and its end.

- A tool that Everthread runs itself is not shown as `tool_calls`: a client that sees one must run it. What is still
  pending when the run completes was left to the client, and goes out then, with `finish_reason: "tool_calls"`.
- A retraction that does not come back with the same words cannot be expressed: the stream ends with an error that names
  the run (docs/adr/0006-retraction-in-protocols-without-one.md). A cancelled run ends with `finish_reason: "cancelled"`.
- Reasoning goes out as `delta.reasoning_content`, as DeepSeek, vLLM and others do; it is not part of the answer.
"""

from typing import Any, Final

from contracts import events as e
from contracts.parts import Part, TextPart, ToolCallPart, plain_text
from contracts.times import parse_rfc3339
from contracts.usage import Usage

from gateway.domain.protocols.frame import Frame, frame
from gateway.domain.protocols.json_text import json_text
from gateway.domain.protocols.shown_text import ShownText

FINISH_REASONS: Final = frozenset({"stop", "length", "content_filter"})


def completion_id(run_id: str) -> str:
    """`chatcmpl-<ULID>` of `run_<ULID>`."""
    return "chatcmpl-" + run_id.partition("_")[2]


class ChatMapping:
    """One run's chunks. `include_usage` is the request's `stream_options.include_usage`; `finish_reason` is final once
    `ended`."""

    def __init__(self, *, include_usage: bool = False) -> None:
        self.ended = False
        self._include_usage = include_usage
        self._head: dict[str, Any] = {}
        self._texts: dict[int, tuple[int, list[str]]] = {}
        self._last_text = -1
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
            case e.StepFinished():
                if event.finish_reason in FINISH_REASONS:
                    self.finish_reason = event.finish_reason
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
        self._texts.setdefault(event.part, (event.sequence, []))[1].append(event.delta)
        if event.part < self._last_text:
            # An earlier part grew: the log's text changed in its middle.
            self._shown.take_back(self._content())
            return self._diverged(event)
        self._last_text = event.part
        new = self._shown.add(event.delta)
        if self._shown.diverged:
            return self._diverged(event)
        return [self._chunk({"content": new})] if new else []

    def _retract(self, event: e.TextRetracted) -> list[Frame]:
        self._texts = {number: text for number, text in self._texts.items() if text[0] < event.from_sequence}
        self._last_text = max(self._texts, default=-1)
        self._shown.take_back(self._content())
        return self._diverged(event) if self._shown.diverged else []

    def _content(self) -> str:
        return "".join("".join(self._texts[number][1]) for number in sorted(self._texts))

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
        if not self._shown.complete:
            return self._diverged(event)
        self.ended = True
        frames: list[Frame] = []
        match event:
            case e.RunFailed():
                return [error_frame(event.message, "server_error", event.code)]
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
