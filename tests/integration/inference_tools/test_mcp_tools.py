"""Tools of a real MCP server in a process of its own, over stdio and over streamable HTTP."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from everthread.ports import free_port
from inference.agents.domain.config import McpServer
from inference.tools.adapters.arguments import check_arguments
from inference.tools.adapters.mcp_connection import RETRY_AFTER
from inference.tools.adapters.mcp_tools import McpTools
from inference.tools.domain.outcome import Output, ToolEnd, ToolFailedError, ToolFailure
from inference.tools.ports import Tool, ToolContext
from inference.tools.run_tool import run_tool

SERVER = str(Path(__file__).with_name("mcp_server.py"))
STDIO = McpServer(
    name="notes", command=sys.executable, args=(SERVER, "stdio"), environment=("NOTES_OWNER", "NOT_SET"), trusted=True
)
ENVIRONMENT = {"NOTES_OWNER": "ada", "SECRET": "hunter2", "TOKEN": "Bearer t"}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["stdio", "http"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[McpServer]:
    if request.param == "stdio":
        yield STDIO
        return
    port = free_port()
    environment = os.environ | {"NOTES_OWNER": "ada"}
    process = subprocess.Popen(
        [sys.executable, SERVER, "http", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        await asyncio.sleep(0.1)
    yield McpServer(name="notes", url=f"http://127.0.0.1:{port}/mcp", headers={"authorization": "TOKEN"}, trusted=True)
    process.kill()
    process.wait()


@pytest.fixture
async def source(server: McpServer) -> AsyncIterator[McpTools]:
    found = McpTools(server, ENVIRONMENT)
    yield found
    await found.close()


async def named(source: McpTools) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in await source.tools()}


async def test_what_a_server_offers(source: McpTools) -> None:
    tools = await named(source)
    assert sorted(tools) == ["notes_count", "notes_die", "notes_fail", "notes_hang", "notes_note"]
    count, note = tools["notes_count"].spec, tools["notes_note"].spec
    assert (count.kind, count.side_effects, count.approval, count.description) == (
        "mcp",
        False,
        False,
        "Count the words.",
    )
    assert (note.side_effects, note.approval, note.retries) == (True, True, 0)
    assert check_arguments(count, {"text": "a"}) is None
    assert check_arguments(count, {}) is not None


async def test_calls_keep_one_connection(source: McpTools, context: ToolContext, progress: list[Any]) -> None:
    tools = await named(source)
    assert await tools["notes_count"].call({"text": "three plain words"}, context) == Output("3")
    first = await tools["notes_note"].call({"text": "a"}, context)
    second = await tools["notes_note"].call({"text": "b"}, context)
    assert first == Output("1 run_1:7 ada -")
    assert second == Output("2 run_1:7 ada -")
    assert progress[0] == {"done": 1.0, "total": 2.0, "message": "half"}


async def test_an_error_of_the_tool(source: McpTools, context: ToolContext) -> None:
    tools = await named(source)
    with pytest.raises(ToolFailedError, match="the shelf is full"):
        await tools["notes_fail"].call({}, context)
    assert await tools["notes_count"].call({"text": "still there"}, context) == Output("2")


async def test_a_tool_that_hangs_can_be_left(source: McpTools, context: ToolContext) -> None:
    tools = await named(source)
    hang = asyncio.create_task(run_tool(tools["notes_hang"], {}, context, check=check_arguments, now=now))
    await asyncio.sleep(0.3)
    hang.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hang
    assert await tools["notes_count"].call({"text": "still there"}, context) == Output("2")


async def test_a_server_that_dies_in_a_call_is_an_error_and_started_again(context: ToolContext) -> None:
    source = McpTools(STDIO, ENVIRONMENT)
    try:
        tools = await named(source)
        end = await run_tool(tools["notes_die"], {}, context, check=check_arguments, now=now)
        assert isinstance(end, ToolEnd)
        assert end.failure is ToolFailure.FAILED
        assert await tools["notes_note"].call({"text": "a"}, context) == Output("1 run_1:7 ada -")
    finally:
        await source.close()


async def test_closing_ends_the_child_process() -> None:
    source = McpTools(STDIO, ENVIRONMENT)
    before = _children()
    await source.tools()
    [child] = _children() - before
    await source.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


async def test_a_server_that_is_not_there(context: ToolContext) -> None:
    assert RETRY_AFTER > 1
    for missing in (
        replace(STDIO, command="/nowhere/at/all"),
        replace(STDIO, args=("-c", "import sys; sys.exit(1)")),
        McpServer(name="gone", url="http://127.0.0.1:9/mcp"),
    ):
        source = McpTools(missing, ENVIRONMENT)
        assert await source.tools() == ()
        assert await source.tools() == ()
        await source.close()


async def test_hints_of_a_server_that_is_not_trusted_count_for_nothing() -> None:
    source = McpTools(replace(STDIO, trusted=False), ENVIRONMENT)
    try:
        count = (await named(source))["notes_count"].spec
        assert (count.side_effects, count.approval) == (True, True)
    finally:
        await source.close()


def _children() -> set[int]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if listed.exists():
        return set(map(int, listed.read_text().split()))
    shown = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False)
    return set(map(int, shown.stdout.split()))
