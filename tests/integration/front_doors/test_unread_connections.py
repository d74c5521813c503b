"""Clients that watch and do not read: once they may no longer watch, their connections end with what they did not take."""

import asyncio
import json
import select
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from contracts import events as e

from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.mesh import Script, plain
from tests.integration.front_doors.test_dismissals import remove, shared_run
from tests.plain_http import plain_client

CUT = 0.8
BIG, PIECES = "x" * 200_000, 40
ROADS = [
    "/v1/runs/{run}/events",
    "/v1/threads/{thread}/events",
    "/api/chat/{run}/stream",
    "/agui/runs/{run}/events",
    "/openai/v1/responses/resp_{ulid}?stream=true",
    "/streams/runs/{run}?offset=-1&live=sse",
    "/v1/ws",
]


@pytest.fixture
def held() -> asyncio.Event:
    """Set when the answer may go on."""
    return asyncio.Event()


@pytest.fixture
def script(held: asyncio.Event) -> Script:
    steps = plain("")
    return lambda _: [steps[0], *[(e.TextDelta, {"part": 0, "delta": BIG})] * PIECES, held, *steps[1:]]


def text_frame(**fields: str) -> bytes:
    """A masked text frame, as clients send them."""
    body = json.dumps(fields).encode()
    assert len(body) < 126
    return bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body


async def ask(asking: socket.socket, base: str, path: str, user: str, run: str) -> None:
    """A client with little room that asks, and reads nothing of what it asked for."""
    loop = asyncio.get_running_loop()
    address = urlsplit(base)
    asking.setblocking(False)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(asking, (address.hostname or "", address.port or 0))
    head = f"GET {path} HTTP/1.1\r\nhost: {address.netloc}\r\n"
    if path != "/v1/ws":
        await loop.sock_sendall(asking, f"{head}authorization: Bearer {user}\r\n\r\n".encode())
        return
    upgrade = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    await loop.sock_sendall(asking, f"{head}{upgrade}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    frames = [text_frame(type="auth", token=user), text_frame(type="subscribe", id="s", run=run)]
    assert (await loop.sock_recv(asking, 1024)).endswith(b"\r\n\r\n")
    await loop.sock_sendall(asking, b"".join(frames))


def aborted(asking: socket.socket) -> bool:
    """The other side has reset the connection: an orderly end would wait behind what was not read."""
    poll = select.poll()
    poll.register(asking, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


@pytest.mark.parametrize("why", ["dismissed", "expired"])
async def test_who_may_no_longer_watch_and_does_not_read_is_cut_off_at_every_door(
    mesh: SmallMesh, held: asyncio.Event, why: str
) -> None:
    gateway = await mesh.gateway(cut=CUT)
    mesh.worker.pace = 0
    headers = {"authorization": "Bearer alice"}
    async with plain_client(base_url=mesh.bases[0], headers=headers, timeout=20) as alice:
        thread, run = await shared_run(mesh, alice)
        async with asyncio.timeout(20):
            while (state := mesh.worker.states.get(run)) is None or state.sequence < PIECES:
                await asyncio.sleep(0.02)
        user = "bob" if why == "dismissed" else f"bob@{time.time() + 3}"
        with ExitStack() as stack:
            asking = [stack.enter_context(socket.socket()) for _ in ROADS]
            async with asyncio.timeout(20):
                for one, road in zip(asking, ROADS, strict=True):
                    path = road.format(run=run, thread=thread, ulid=run.removeprefix("run_"))
                    await ask(one, gateway.base, path, user, run)
                while len(gateway.connections) < len(ROADS) or not all(
                    connection.unsent or aborted(one)
                    for connection, one in zip(gateway.connections, asking, strict=True)
                ):
                    await asyncio.sleep(0.02)
                assert why == "expired" or not any(map(aborted, asking))
                if why == "dismissed":
                    await remove(mesh, thread)
                while not all(map(aborted, asking)):
                    await asyncio.sleep(0.02)
            assert [connection.unsent for connection in gateway.connections] == [0] * len(ROADS)
        async with asyncio.timeout(5):
            while gateway.streams.open or gateway.hub.watched:
                await asyncio.sleep(0.02)
        # Who stayed has it all.
        held.set()
        await mesh.stored(run)
