"""What a tool offers to whoever runs it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from inference.tools.domain.outcome import ToolOutcome
from inference.tools.domain.spec import ToolSpec


def no_progress(_: Any) -> None:
    """For callers that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Who calls, for which step. `idempotency_key` is the same for every try and every repetition of this call, also after
    a crash: `<run>:<step>`. `tool_call_id` is what the model calls it. `progress` takes JSON at any time and does not block.
    `roles` are the user's."""

    run_id: str
    thread_id: str
    step: int
    idempotency_key: str
    user_id: str
    roles: frozenset[str] = frozenset()
    agent: str = ""
    tool_call_id: str = ""
    progress: Callable[[Any], None] = no_progress


class Tool(Protocol):
    """One tool."""

    @property
    def spec(self) -> ToolSpec:
        """What it is."""

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Do it once. `arguments` fit the schema. Raises ToolFailedError; anything else it raises is a fault of the tool.
        Cancelling must stop the work; a tool with side effects must do nothing twice for one idempotency key."""


class ToolSource(Protocol):
    """Where tools come from that are not known before the service runs: the mesh, an MCP server."""

    async def tools(self) -> Sequence[Tool]:
        """What there is now. Never raises for a source that does not answer: its tools are missing then, and it is logged."""

    async def close(self) -> None:
        """Let go of connections and child processes. Idempotent."""


class ArgumentCheck(Protocol):
    """Checks arguments against a schema."""

    def __call__(self, spec: ToolSpec, arguments: Any) -> str | None:
        """None where they fit, else sentences that tell the model what to change."""


class Now(Protocol):
    """The time of day."""

    def __call__(self) -> datetime:
        """Now, in UTC."""
