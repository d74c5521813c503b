"""Tools of MCP servers."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from inference.agents.domain.config import McpServer
from inference.tools.adapters.arguments import check_schema
from inference.tools.adapters.mcp_connection import McpConnection, McpUnavailableError, with_client
from inference.tools.domain.outcome import Output, ToolFailedError, ToolOutcome
from inference.tools.domain.spec import NAME_FORM, ToolSpec, ToolSpecError
from inference.tools.ports import Tool, ToolContext

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, RequestParamsMeta
    from mcp.types import Tool as Offered

logger = structlog.get_logger()

IDEMPOTENCY_META: Final = "everthread/idempotency-key"
"""Where a server finds the idempotency key, in a call's `_meta`."""
MOST_PAGES: Final = 20


class McpTools:
    """The tools of one server, named `<server>_<tool>`."""

    def __init__(self, server: McpServer, environment: Mapping[str, str], *, fresh_for: float = 60.0) -> None:
        self._server, self._fresh_for = server, fresh_for
        self._connection = McpConnection(server, environment)
        self._found: Sequence[Tool] = ()
        self._found_at = float("-inf")

    async def tools(self) -> Sequence[Tool]:
        """What the server lists. A server that does not answer has no tools for now."""
        now = asyncio.get_running_loop().time()
        if now - self._found_at > self._fresh_for:
            try:
                offered = await self._list()
            except McpUnavailableError as error:
                logger.warning("tools.mcp_unavailable", server=self._server.name, error=str(error))
                return ()
            self._found = tuple(self._usable(offered))
            self._found_at = now
        return self._found

    async def close(self) -> None:
        """End the connection and, over stdio, the child process."""
        await self._connection.close()

    async def _list(self) -> "list[Offered]":
        async def pages(client: "Client") -> "list[Offered]":
            found: list[Offered] = []
            cursor: str | None = None
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                found.extend(page.tools)
                cursor = page.next_cursor
                if cursor is None:
                    break
            return found

        return await with_client(self._connection, pages)

    def _usable(self, offered: "list[Offered]") -> list[Tool]:
        usable: list[Tool] = []
        for each in offered:
            try:
                spec = _spec(self._server, each)
                check_schema(spec)
            except ToolSpecError as error:
                logger.warning("tools.mcp_refused", server=self._server.name, reason=str(error))
                continue
            usable.append(McpTool(self._connection, spec, each.name))
        return usable


class McpTool:
    """One of them."""

    def __init__(self, connection: McpConnection, spec: ToolSpec, name: str) -> None:
        self._connection, self._spec, self._name = connection, spec, name

    @property
    def spec(self) -> ToolSpec:
        """What it is."""
        return self._spec

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Call it; the idempotency key goes along in `_meta`, progress notifications come back as progress."""

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            context.progress({"done": progress, "total": total, "message": message})

        async def ask(client: "Client") -> "CallToolResult":
            return await client.call_tool(
                self._name,
                dict(arguments),
                read_timeout_seconds=self._spec.timeout,
                progress_callback=heard,
                meta=cast("RequestParamsMeta", {IDEMPOTENCY_META: context.idempotency_key}),
            )

        try:
            result = await with_client(self._connection, ask)
        except McpUnavailableError as error:
            raise ToolFailedError(f"The tool {self._spec.name} is not there: {error}.", retryable=True) from error
        return _outcome(self._spec, result)


def _spec(server: McpServer, offered: "Offered") -> ToolSpec:
    name = f"{server.name}_{offered.name}"
    if NAME_FORM.fullmatch(name) is None:
        raise ToolSpecError(f"tool {name[:80]!r}: a name has 1 to 64 letters, digits, _ and -")
    hints = offered.annotations
    reads_only = bool(hints and hints.read_only_hint) and server.trusted
    schema = {**offered.input_schema}
    schema.setdefault("type", "object")
    return ToolSpec(
        name=name,
        description=offered.description or offered.title or offered.name,
        input_schema=schema,
        kind="mcp",
        # A server's word about itself is taken only where the configuration says that it is trusted.
        side_effects=not reads_only,
        approval=server.approval and not reads_only,
        timeout=server.timeout,
        retries=1 if reads_only else 0,
    )


def _outcome(spec: ToolSpec, result: "CallToolResult") -> ToolOutcome:
    texts = []
    for block in result.content:
        text = getattr(block, "text", None)
        texts.append(text if isinstance(text, str) else f"[{block.type} left out: only text can be shown]")
    text = "\n".join(texts)
    if result.is_error:
        raise ToolFailedError(f"{spec.name}: {text[:2000] or 'it failed without saying why'}")
    return Output(result.structured_content if result.structured_content is not None and not text else text)
