"""Rows of `task bench:limits`: what an answer asks of the database, counted on the wire between conversation and the server."""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from everthread.embedded import mongo_uri

from tests import mesh as mesh_module
from tests.load.figures import Row, console
from tests.load.viewers import Viewer, attach
from tests.servers import MongoServer

ANSWERS = 20
TOKENS, RATE = 500, 50
IDLE_SECONDS = 10
SAVE_SECONDS = 0.5
OP_MSG = 2013
HEAD = 16
WRITES = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})
READS = frozenset({"find", "aggregate", "count", "distinct", "getMore"})


@dataclass
class CountingProxy:
    """Passes a database's connections on, and notes the time and the command of each message that goes to the server."""

    server_port: int
    commands: list[tuple[float, str]] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def between(self, begin: float, end: float, names: frozenset[str]) -> int:
        """How many of these commands came in that time (monotonic seconds)."""
        return sum(begin <= at < end and name in names for at, name in self.commands)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        both = [
            asyncio.ensure_future(self._count(reader, to_server)),
            asyncio.ensure_future(_pass(from_server, writer)),
        ]
        self._tasks |= set(both)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            self._tasks -= set(both)
            for one in (writer, to_server):
                one.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(HEAD)
                body = await reader.readexactly(int.from_bytes(head[:4], "little") - HEAD)
                if int.from_bytes(head[12:], "little") == OP_MSG:
                    self.commands.append((time.monotonic(), command_in(body)))
                writer.write(head + body)
                await writer.drain()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


def command_in(body: bytes) -> str:
    """The command of an OP_MSG without its head: the name of the first field of its first document (MongoDB Wire Protocol:
    four bytes of flags, a section's kind, the document's length, the field's type, its name)."""
    assert body[4] == 0, "a driver sends the command's document first"
    return body[10 : body.index(b"\0", 10)].decode()


async def database(home: Path, environment: dict[str, str]) -> list[Row]:
    """On a mesh of its own, whose database is reached through the proxy."""
    server = MongoServer(home / "counted")
    await asyncio.to_thread(server.start)
    try:
        async with CountingProxy(server.port) as proxy:
            mesh = await asyncio.to_thread(
                lambda: mesh_module.start(
                    home / "counted-mesh",
                    scale="gateway=2,inference=2",
                    gateways=2,
                    environment=environment | {"MONGODB_URI": mongo_uri(proxy.port)},
                )
            )
            try:
                await mesh.wait_ready()
                return await _count(mesh, proxy)
            finally:
                await asyncio.to_thread(mesh.stop)
    finally:
        await asyncio.to_thread(server.stop)


async def _count(mesh: mesh_module.Mesh, proxy: CountingProxy) -> list[Row]:
    content = f"tokens={TOKENS} rate={RATE} stamp"
    async with mesh.client() as client:
        threads = [await mesh_module.create_thread(client) for _ in range(ANSWERS)]
        console.print(f"  {IDLE_SECONDS} s of rest")
        rest = time.monotonic(), time.monotonic() + IDLE_SECONDS
        await asyncio.sleep(IDLE_SECONDS)
        console.print(f"  {ANSWERS} answers of {TOKENS} tokens")
        begin = time.monotonic()

        async def one(thread: str) -> Viewer:
            accepted = await mesh_module.send(client, thread, content)
            viewer = await attach(f"{mesh.urls[0]}/v1/runs/{accepted['run_id']}/events", mesh.token())
            await asyncio.wait_for(viewer.ended, 60)
            viewer.close()
            return viewer

        viewers = await asyncio.gather(*(one(thread) for thread in threads))
        await asyncio.sleep(3)
        end = time.monotonic()
    arrived = [list(viewer.arrivals()) for viewer in viewers]
    all_run = max(tokens[0][1] for tokens in arrived) / 1e9 + 0.5
    one_ends = min(tokens[-1][1] for tokens in arrived) / 1e9

    def each(names: frozenset[str], since: float, until: float) -> float:
        """Per answer, without what the services ask at rest in as much time."""
        at_rest = proxy.between(*rest, names) / (rest[1] - rest[0]) * (until - since)
        return (proxy.between(since, until, names) - at_rest) / ANSWERS

    seconds = TOKENS / RATE
    saves = seconds / SAVE_SECONDS
    writes, reads = (each(names, all_run, one_ends) for names in (WRITES, READS))
    kinds = Counter(name for at, name in proxy.commands if begin <= at < end)
    console.print("  " + ", ".join(f"{name} {count}" for name, count in kinds.most_common()))
    asked = sum(proxy.between(*rest, names) for names in (WRITES, READS)) / (rest[1] - rest[0])
    return [
        Row(
            f"writes per answer of {TOKENS} tokens while it streams ({one_ends - all_run:.1f} of {seconds:.0f} s)",
            f"{writes:.2f}, a save every {SAVE_SECONDS * 1000:.0f} ms would be {saves:.0f}: {saves / max(writes, 0.05):.0f} times as many",
            "≤ 4, a tenth of that",
        ),
        Row(
            "reads meanwhile",
            f"{reads:.2f} ({proxy.between(all_run, one_ends, READS)} by all {ANSWERS} together, those at rest taken off), a poll every {SAVE_SECONDS * 1000:.0f} ms would be {saves:.0f}",
            "0",
        ),
        Row(
            "the same from its acceptance to its end, and after",
            f"{each(WRITES, begin, end):.1f} writes, {each(READS, begin, end):.1f} reads"
            f" and {each(frozenset({'commitTransaction'}), begin, end):.1f} commits",
            "–",
        ),
        Row("what the services ask at rest, taken off above", f"{asked:.1f} a second", "–"),
    ]
