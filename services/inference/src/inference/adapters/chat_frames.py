"""What comes on a chat-completions stream, in the shapes that providers really send (docs of the providers, common practice).

`EventLines` turns bytes into the data of server-sent events, however they are cut; `Chunk` is the JSON of one of them, every
field optional, since hardly two providers send the same ones.
"""

import json
from typing import Any

import msgspec
from contracts.usage import Usage

DONE = b"[DONE]"


class Delta(msgspec.Struct):
    """`content` is a text, null, or typed parts (Mistral). Reasoning has three spellings."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct):
    """`message` instead of `delta` where the answer came whole."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    error: Any = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct):
    """`usage` as OpenAI spells it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Groq(msgspec.Struct):
    usage: Tokens | None = None
    error: Any = None


class Chunk(msgspec.Struct):
    """One event. `choices` is empty on Azure's first and on OpenAI's usage chunk."""

    choices: list[Choice] | None = None
    usage: Tokens | None = None
    x_groq: _Groq | None = None
    error: Any = None


class UnreadableError(ValueError):
    """Not a chunk. `chunk` is given where all that is wrong with it are halves of characters, for HalfCharacters to join."""

    def __init__(self, chunk: Chunk | None) -> None:
        super().__init__("no chunk of a chat completion")
        self.chunk = chunk


_decoder = msgspec.json.Decoder(Chunk)


def decode_chunk(data: bytes) -> Chunk:
    """Raises UnreadableError."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError):
        raise UnreadableError(_with_halves(data)) from None


def _with_halves(data: bytes) -> Chunk | None:
    """msgspec refuses an escaped surrogate that stands alone; the standard library does not."""
    if b"\\u" not in data:
        return None
    try:
        return msgspec.convert(json.loads(data), Chunk)
    except (ValueError, RecursionError):
        return None


class HalfCharacters:
    """Joins characters whose two UTF-16 halves came in two chunks, as from providers that cut strings by code units."""

    def __init__(self) -> None:
        self._half = ""

    def join(self, text: str) -> str:
        """The text as far as it is whole; a half that will never be one is replaced by U+FFFD."""
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        whole = text.removesuffix(self._half) if self._half else text
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def usage_of(tokens: Tokens) -> Usage:
    """The counts as Everthread keeps them."""
    prompt, completion = tokens.prompt_tokens_details, tokens.completion_tokens_details
    return Usage(
        input_tokens=tokens.prompt_tokens or 0,
        output_tokens=tokens.completion_tokens or 0,
        cached_tokens=(prompt.cached_tokens or 0) if prompt is not None else 0,
        reasoning_tokens=(completion.reasoning_tokens or 0) if completion is not None else 0,
    )


def typed_texts(content: list[Any]) -> list[tuple[bool, str]]:
    """Typed parts as `(is reasoning, text)`: `{"type": "text", "text"}` and `{"type": "thinking", "thinking": [text parts]}`."""
    found: list[tuple[bool, str]] = []
    for part in content:
        if not isinstance(part, dict):
            continue
        thinking = part.get("thinking")
        if isinstance(thinking, list):
            found.extend((True, text) for _, text in typed_texts(thinking))
        elif isinstance(thinking, str):
            found.append((True, thinking))
        elif isinstance(part.get("text"), str):
            found.append((part.get("type") in ("thinking", "reasoning"), part["text"]))
    return found


class EventLines:
    """Bytes in, data of whole events out. Lines end in LF or CRLF; comments and other fields are passed over; several data
    lines of one event are joined by LF (WHATWG HTML, server-sent events)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[bytes]:
        """The events that are complete by now. A character or a line cut in the middle waits for its other half."""
        lines = (self._rest + received).split(b"\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        return events

    def end(self) -> list[bytes]:
        """What a last event without its empty line holds, if it is whole."""
        events = self.feed(b"\n\n") if self._rest else self.feed(b"\n")
        self._rest = b""
        return events
