"""What the engine, the model and the person who approves know about a tool."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from contracts.client_tools import ClientTool

Kind = Literal["builtin", "function", "mesh", "mcp"]
Need = Literal["nothing", "documents", "url"]
"""What must be there for a tool to be of use: documents that the user may search, a URL in the conversation."""

NAME_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every provider takes as a function name."""

DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_OUTPUT_LIMIT: Final = 16 * 1024


class ToolSpecError(ValueError):
    """A tool is declared in a way that cannot work; the sentence names the tool, the value and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One tool as declared.

    `input_schema` is the JSON schema (2020-12) of an object. `side_effects`: calling it changes something outside, so an
    interrupted call is repeated only with its idempotency key. `approval`: a person must say yes before each call.
    `timeout` in seconds is for one try, `retries` counts the tries after the first. `output_limit` in bytes of UTF-8 is what
    the model gets to see. `roles`: who may use it; empty means everybody.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    kind: Kind = "function"
    side_effects: bool = False
    approval: bool = False
    timeout: float = DEFAULT_TIMEOUT
    retries: int = 0
    output_limit: int = DEFAULT_OUTPUT_LIMIT
    needs: Need = "nothing"
    roles: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if NAME_FORM.fullmatch(self.name) is None:
            raise ToolSpecError(f"tool {self.name[:80]!r}: a name has 1 to 64 letters, digits, _ and -")
        if not self.description.strip():
            raise ToolSpecError(f"tool {self.name}: the description is empty; the model chooses by it")
        if self.input_schema.get("type") != "object":
            raise ToolSpecError(
                f"tool {self.name}: the schema's type is {self.input_schema.get('type')!r}, expected 'object'"
            )
        if not (0 < self.timeout <= 3600 and 0 <= self.retries <= 10 and self.output_limit >= 256):
            raise ToolSpecError(
                f"tool {self.name}: timeout {self.timeout}, retries {self.retries}, output limit {self.output_limit};"
                " expected a timeout of up to 3600 seconds, 0 to 10 retries, a limit of at least 256 bytes"
            )

    @property
    def pattern_name(self) -> str:
        """How agents name it: the plain name, or with `mesh:` or `mcp:` before it."""
        return f"{self.kind}:{self.name}" if self.kind in ("mesh", "mcp") else self.name


def openai_tool(spec: ToolSpec) -> dict[str, Any]:
    """The entry of `tools` in a chat completion request."""
    return {
        "type": "function",
        "function": {
            "name": spec.name,
            "description": spec.description,
            "parameters": dict(spec.input_schema),
        },
    }


def client_tool(tool: ClientTool) -> dict[str, Any]:
    """The same for a tool that the client brought: what it said, and no more."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
