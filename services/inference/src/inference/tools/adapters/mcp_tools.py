"""Tools of MCP servers, through the official SDK: child processes over stdio, and services over streamable HTTP.

A connection belongs to one task of its own, since the SDK's connections must be opened and closed by the same one. It is
opened when the tools are first asked for and again after it broke. The SDK is imported then too: it costs 60 MiB that a
worker without MCP servers does not have to pay.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import structlog

from inference.agents.domain.config import McpServer
from inference.tools.adapters.arguments import check_schema
from inference.tools.domain.outcome import Output, ToolFailedError, ToolOutcome
from inference.tools.domain.spec import NAME_FORM, ToolSpec, ToolSpecError
from inference.tools.ports import Tool, ToolContext

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, RequestParamsMeta
    from mcp.types import Tool as Offered

logger = structlog.get_logger()
T = TypeVar("T")

IDEMPOTENCY_META: Final = "everthread/idempotency-key"
"""Where a server finds the idempotency key, in a call's `_meta`."""
OPENING_SECONDS: Final = 20.0
RETRY_AFTER: Final = 5.0
MOST_PAGES: Final = 20


class McpUnavailableError(Exception):
    """The server cannot be reached, or the connection broke in the middle of something."""


class McpConnection:
    """One server. `request` runs something with the SDK's client, in the task that owns the connection."""

    def __init__(self, server: McpServer, environment: Mapping[str, str]) -> None:
        self._server, self._environment = server, environment
        self._task: asyncio.Task[None] | None = None
        self._client: asyncio.Future[Client] | None = None
        self._stop = asyncio.Event()
        self._opening = asyncio.Lock()
        self._failed_at = float("-inf")

    async def client(self) -> "Client":
        """The open client. Raises McpUnavailableError; after a failure not sooner than RETRY_AFTER seconds again."""
        async with self._opening:
            if self._task is None or self._task.done():
                loop = asyncio.get_running_loop()
                if loop.time() - self._failed_at < RETRY_AFTER:
                    raise McpUnavailableError(f"the MCP server {self._server.name} cannot be reached")
                self._stop, self._client = asyncio.Event(), loop.create_future()
                self._task = asyncio.create_task(self._hold(self._client, self._stop))
                waiting: set[asyncio.Future[Any]] = {self._client, self._task}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            opened = self._client
            if opened is not None and opened.done() and not opened.cancelled():
                return opened.result()
            self._failed_at = asyncio.get_running_loop().time()
            raise McpUnavailableError(f"the MCP server {self._server.name} cannot be reached")

    async def close(self) -> None:
        """Close the connection; a child process ends with it."""
        self._stop.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=10)
            self._task.cancel()

    def drop(self) -> None:
        """The connection is broken: the next call opens another."""
        self._stop.set()
        self._task = None

    async def _hold(self, opened: "asyncio.Future[Client]", stop: asyncio.Event) -> None:
        """Open, hand out, wait, close: all in this task. What the SDK raises ends up in the task and is looked at there."""
        holding = asyncio.create_task(self._hold_open(opened, stop))
        await asyncio.wait({holding})
        error = None if holding.cancelled() else holding.exception()
        if error is not None:
            logger.warning("tools.mcp_lost", server=self._server.name, error=_plain(error))
        if not opened.done():
            opened.cancel()

    async def _hold_open(self, opened: "asyncio.Future[Client]", stop: asyncio.Event) -> None:
        from mcp import Client

        async with AsyncExitStack() as stack:
            async with asyncio.timeout(OPENING_SECONDS):
                client = await stack.enter_async_context(Client(await self._transport(stack)))
            opened.set_result(client)
            await stop.wait()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        if self._server.command:
            from mcp import StdioServerParameters
            from mcp.client.stdio import stdio_client

            # The server's own complaints must not reach our standard error, where every line is a log entry.
            sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            return stdio_client(
                StdioServerParameters(
                    command=self._server.command,
                    args=list(self._server.args),
                    env={
                        name: self._environment[name] for name in self._server.environment if name in self._environment
                    },
                    cwd=self._server.folder or None,
                ),
                errlog=sink,
            )
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        headers = {
            header: self._environment[variable]
            for header, variable in self._server.headers.items()
            if variable in self._environment
        }
        http = await stack.enter_async_context(
            httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30.0, read=300.0), trust_env=False)
        )
        return streamable_http_client(self._server.url, http_client=http)


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


async def with_client(connection: McpConnection, use: "Callable[[Client], Awaitable[T]]") -> T:
    """`use` the connection's client. A protocol error of the server is raised as ToolFailedError, a lost connection as
    McpUnavailableError; cancelling it tells the server."""
    from mcp import MCPError

    client = await connection.client()
    asking = asyncio.ensure_future(use(client))
    try:
        await asyncio.wait({asking})
    except asyncio.CancelledError:
        asking.cancel()
        await asyncio.wait({asking}, timeout=1)
        raise
    error = asking.exception() if not asking.cancelled() else McpUnavailableError("the connection was closed")
    if error is None:
        return asking.result()
    if isinstance(error, MCPError) and not _is_lost(error):
        raise ToolFailedError(f"The MCP server refused: {error.error.message[:500]}.") from error
    connection.drop()
    raise McpUnavailableError(_plain(error)) from error


def _is_lost(error: Any) -> bool:
    from mcp.types import CONNECTION_CLOSED

    return bool(error.error.code == CONNECTION_CLOSED)


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


def _plain(error: BaseException) -> str:
    """The innermost reason: the SDK wraps what happened into groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]
