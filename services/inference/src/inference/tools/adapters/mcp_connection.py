"""One connection to an MCP server, through the official SDK: a child process over stdio, or a service over streamable HTTP.

It belongs to one task of its own, since the SDK's connections must be opened and closed by the same one. It is opened when
it is first needed and again after it broke. The SDK is imported then too: it costs 60 MiB that a worker without MCP servers
does not have to pay.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import structlog

from inference.agents.domain.config import McpServer
from inference.tools.domain.outcome import ToolFailedError

if TYPE_CHECKING:
    from mcp import Client

logger = structlog.get_logger()
T = TypeVar("T")

OPENING_SECONDS: Final = 20.0
RETRY_AFTER: Final = 5.0


class McpUnavailableError(Exception):
    """The server cannot be reached, or the connection broke in the middle of something."""


class McpConnection:
    """One server's connection, opened at the first call of `client`."""

    def __init__(self, server: McpServer, environment: Mapping[str, str]) -> None:
        self._server, self._environment = server, environment
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
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
        self.drop()
        ending = set(self._ending)
        if ending:
            await asyncio.wait(ending, timeout=10)
        for task in ending:
            task.cancel()

    def drop(self) -> None:
        """The connection is broken: the next call opens another."""
        self._stop.set()
        if self._task is not None:
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task = None

    async def _hold(self, opened: "asyncio.Future[Client]", stop: asyncio.Event) -> None:
        """Open, hand out, wait, close: all in this task. What the SDK raises ends up in the task and is looked at there."""
        holding = asyncio.create_task(self._hold_open(opened, stop))
        try:
            await asyncio.wait({holding})
        finally:
            holding.cancel()
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

            return stdio_client(
                StdioServerParameters(
                    command=self._server.command,
                    args=list(self._server.args),
                    env={
                        name: self._environment[name] for name in self._server.environment if name in self._environment
                    },
                    cwd=self._server.folder or None,
                ),
                errlog=_nowhere(stack),
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


def _plain(error: BaseException) -> str:
    """The innermost reason: the SDK wraps what happened into groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]


def _nowhere(stack: AsyncExitStack) -> TextIO:
    """The server's own complaints must not reach our standard error, where every line is a log entry."""
    sink = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed with the connection
    stack.callback(sink.close)
    return sink
