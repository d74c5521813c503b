"""A WebSocket client for tests: the `websockets` package and JSON, nothing else."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


class Talk:
    """One connection. Messages are kept per subscription or call, so that a test can wait for either."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def hear(self) -> dict[str, Any]:
        message = await self.socket.recv()
        assert isinstance(message, str)
        self.seen.append(json.loads(message))
        return self.seen[-1]

    async def until(self, kind: str, name: str = "") -> dict[str, Any]:
        """Read on to the first message of a type about `name`; an error in between fails the test."""
        while True:
            message = await self.hear()
            if message["type"] == kind and message.get("id", "") == name:
                return message
            assert message["type"] != "error", message

    async def ask(self, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        """A call, and its answer or refusal."""
        await self.say(kind, id=name, **fields)
        while True:
            message = await self.hear()
            if message.get("id") == name and message["type"] != "event":
                return message

    def events(self, name: str) -> list[dict[str, Any]]:
        return [message["event"] for message in self.seen if message["type"] == "event" and message["id"] == name]

    def cursor(self, name: str) -> str:
        cursors = [message["cursor"] for message in self.seen if message.get("id") == name and "cursor" in message]
        return str(cursors[-1]) if cursors else ""


@asynccontextmanager
async def talking(base: str, token: str = "alice", **options: Any) -> AsyncIterator[Talk]:
    """An authenticated connection to a gateway at an http base."""
    async with connect(f"ws{base.removeprefix('http')}/v1/ws", proxy=None, **options) as socket:
        talk = Talk(socket)
        await talk.say("auth", token=token)
        assert (await talk.hear())["type"] == "authenticated"
        yield talk
