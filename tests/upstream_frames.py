"""The bytes of the scripted upstream: server-sent events of chat.completions chunks, encoded before the first is sent."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.upstream_script import Script, reasoning_of

Piece = bytes | Callable[[], bytes]


def chunked(data: bytes) -> bytes:
    """One chunk of HTTP/1.1 chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Frames:
    """Encodes the chunks of one answer."""

    def __init__(self, script: Script, call_id: str, model: str, prompt_tokens: int) -> None:
        self._script = script
        self._prompt_tokens = prompt_tokens
        self._line = b"\r\n" if "crlf" in script.flags else b"\n"
        self._comment = b": OPENROUTER PROCESSING" + self._line * 2 if "keepalive" in script.flags else b""
        self._head = {"id": call_id, "object": "chat.completion.chunk", "created": 1, "model": model}
        before, after = self._encode({"content": "\x00"}, None).split(b'"\\u0000"')
        self._before, self._after = before, after

    def payload(self, **fields: Any) -> bytes:
        """One event with a chunk of these fields."""
        data = json.dumps({**self._head, **fields}, ensure_ascii=False, separators=(",", ":")).encode()
        return self.event(data)

    def event(self, data: bytes) -> bytes:
        """One event with this data."""
        return self._comment + b"data: " + data + self._line * 2

    def _encode(self, delta: dict[str, Any], finish: str | None) -> bytes:
        return self.payload(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])

    def opening(self) -> bytes:
        """The role chunk, as most providers send it."""
        return self._encode({"role": "assistant", "content": None}, None)

    def text(self, tokens: list[str]) -> list[Piece]:
        """One event per token."""
        if self._script.usage == "every":
            return [
                self.payload(
                    choices=[{"index": 0, "delta": {"content": token}, "finish_reason": None}],
                    usage=self.usage(index + 1),
                )
                for index, token in enumerate(tokens)
            ]
        if "stamp" in self._script.flags:
            return [self._stamped(index) for index in range(len(tokens))]
        return [self._before + json.dumps(t, ensure_ascii=False).encode() + self._after for t in tokens]

    def _stamped(self, index: int) -> Callable[[], bytes]:
        return lambda: b'%b"%d:%d "%b' % (self._before, index, time.monotonic_ns(), self._after)

    def reasoning(self) -> list[Piece]:
        """The reasoning events, under the key that the script names."""
        key = self._script.reasoning_key
        if key == "typed":
            return [
                self._encode({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": t}]}]}, None)
                for t in reasoning_of(self._script)
            ]
        return [self._encode({key: t, "content": None}, None) for t in reasoning_of(self._script)]

    def error(self) -> bytes:
        """An error object in the middle of a stream."""
        return self.event(b'{"error":{"message":"the provider lost its worker","type":"server_error","code":502}}')

    def ending(self, sent: int) -> bytes:
        """Everything from the last text on: tool call or refusal, finish reason, usage, [DONE]."""
        script, out = self._script, b""
        finish = script.finish
        if script.refusal:
            out += self._encode({"refusal": script.refusal}, None)
        if script.tool:
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": script.tool, "arguments": ""}}
            out += self._encode({"tool_calls": [call]}, None)
            out += self._encode({"tool_calls": [{"index": 0, "function": {"arguments": '{"zone":'}}]}, None)
            out += self._encode({"tool_calls": [{"index": 0, "function": {"arguments": '"UTC"}'}}]}, None)
            finish = "tool_calls"
        for index, (name, arguments) in enumerate(script.calls):
            call = {"index": index, "id": f"call_{index}", "type": "function"}
            out += self._encode({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}, None)
            for start in range(0, len(arguments), 10):
                piece = {"index": index, "function": {"arguments": arguments[start : start + 10]}}
                out += self._encode({"tool_calls": [piece]}, None)
            finish = "tool_calls"
        usage = self.usage(sent)
        if finish != "none":
            extra: dict[str, Any] = {}
            if script.usage == "groq":
                extra["x_groq"] = {"id": "req_1", "usage": usage}
            if script.usage == "every":
                extra["usage"] = usage
            out += self.payload(choices=[{"index": 0, "delta": {}, "finish_reason": finish}], **extra)
        if script.usage == "last":
            out += self.payload(choices=[], usage=usage)
        return out if "no_done" in script.flags else out + self.event(b"[DONE]")

    def usage(self, text_tokens: int) -> dict[str, Any]:
        """The provider's own counts."""
        output = text_tokens + self._script.reasoning
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": output,
            "total_tokens": self._prompt_tokens + output,
            "prompt_tokens_details": {"cached_tokens": self._prompt_tokens // 2},
            "completion_tokens_details": {"reasoning_tokens": self._script.reasoning},
        }
