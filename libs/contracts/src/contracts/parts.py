"""Parts of a message: the typed pieces that an answer is made of. The same shapes in the log, in MongoDB and on the wire."""

from typing import Any, Literal

import msgspec


class TextPart(msgspec.Struct, tag_field="type", tag="text", kw_only=True):
    """Plain text or Markdown."""

    text: str


class ReasoningPart(msgspec.Struct, tag_field="type", tag="reasoning", kw_only=True):
    """What the model said to itself, where the provider shows it."""

    text: str


ToolState = Literal["pending", "running", "completed", "error"]


class ToolCallPart(msgspec.Struct, tag_field="type", tag="tool_call", kw_only=True, omit_defaults=True):
    """One tool call with its whole life. Times are RFC 3339 UTC."""

    tool_call_id: str
    name: str
    state: ToolState
    input: Any = None
    output: Any = None
    error: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class SourcePart(msgspec.Struct, tag_field="type", tag="source", kw_only=True, omit_defaults=True):
    """A source the answer rests on, with the passage quoted."""

    source_id: str
    title: str
    url: str | None = None
    quote: str | None = None


Part = TextPart | ReasoningPart | ToolCallPart | SourcePart


def plain_text(parts: list[Part]) -> str:
    """The message's `content`: its text parts joined, without reasoning, tools and sources."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))
