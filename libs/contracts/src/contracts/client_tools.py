"""Tools that a client brings along with its request: offered to the model, called by nobody here. A call of one stays a pending
part of the answer, and its result comes with the client's next request."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from contracts.parts import Part, ToolCallPart
from contracts.registry import ToolChoice

MOST_TOOLS: Final = 128
"""As many as OpenAI takes."""
MOST_BYTES: Final = 64 * 1024
"""Of all of them, as JSON."""


class ClientTool(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """One tool, as the model is told of it. `parameters` is the JSON schema of an object, None where it takes none; `strict` is
    passed on where it was given."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ClientTools(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What a request brings. `choice` is OpenAI's `tool_choice`: `function` demands the tool `named`. Anything but `auto` is about
    these tools alone, so the agent's own are not offered then. Without `parallel` the model shall call one at a time."""

    tools: tuple[ClientTool, ...]
    choice: ToolChoice = "auto"
    named: str = ""
    parallel: bool = True

    @property
    def names(self) -> frozenset[str]:
        """Their names."""
        return frozenset(tool.name for tool in self.tools)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ClientTools)
_results_decoder = msgspec.json.Decoder(tuple[ToolCallPart, ...])


def encode_tools(tools: ClientTools | None) -> bytes:
    """The bytes that are kept with the run; empty for none."""
    return b"" if tools is None else _encoder.encode(tools)


def decode_tools(data: bytes | str) -> ClientTools | None:
    """Read them back; None for nothing. Raises msgspec.ValidationError."""
    return _decoder.decode(data) if data else None


def decode_results(data: bytes) -> tuple[ToolCallPart, ...]:
    """The results that a client brings, as tool calls of which only the end counts; none for nothing. Raises
    msgspec.ValidationError."""
    return _results_decoder.decode(data) if data else ()


def is_results(role: str, parts: Sequence[Part]) -> bool:
    """Whether a message holds a client's results and nothing else. What an internal service appends has the role `tool` as well,
    and always a text."""
    return role == "tool" and bool(parts) and all(isinstance(part, ToolCallPart) for part in parts)
