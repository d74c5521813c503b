"""A small MCP server, run as a process of its own by the tests: `python mcp_server.py stdio` or `… http <port>`."""

import asyncio
import os
import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("notes")
NOTES: list[str] = []


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def count(text: str) -> int:
    """Count the words."""
    return len(text.split())


@server.tool()
async def note(text: str, context: Context[Any, Any]) -> str:
    """Keep a note."""
    NOTES.append(text)
    await context.report_progress(1, 2, "half")
    meta: Any = context.request_context.meta
    key = (meta or {}).get("everthread/idempotency-key")
    return f"{len(NOTES)} {key} {os.environ.get('NOTES_OWNER', '-')} {os.environ.get('SECRET', '-')}"


@server.tool()
def fail() -> str:
    """Always fail."""
    raise ToolError("the shelf is full")


@server.tool()
async def hang() -> str:
    """Never answer."""
    await asyncio.sleep(3600)
    return "late"


@server.tool()
def die() -> str:
    """Take the whole process down."""
    os._exit(3)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
