"""A gateway by script: each connection gets the next answer, byte for byte, over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest


@dataclass
class Request:
    """What the client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedGateway:
    """`answers` holds the raw responses in the order of the requests; the connection is closed after each. A response
    that ends early is a cut. When they run out, the connection is closed without an answer."""

    answers: list[bytes] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    hold: asyncio.Event | None = None
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def kill(self) -> None:
        """Nothing listens any more."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(method, path, headers, body))
            if self.answers:
                answer = self.answers.pop(0)
                writer.write(answer)
                await writer.drain()
                if not self.answers and self.hold is not None and answer.startswith(b"HTTP/1.1 200"):
                    await self.hold.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def gateways() -> AsyncIterator[Sequence[ScriptedGateway]]:
    """Two, started."""
    made = [ScriptedGateway(), ScriptedGateway()]
    for gateway in made:
        await gateway.start()
    yield made
    for gateway in made:
        if gateway.hold is not None:
            gateway.hold.set()
        await gateway.kill()


@pytest.fixture
def stream() -> Callable[..., bytes]:
    """A response with an event stream of the given frames, not ended by its own length."""

    def build(*frames: str, content_type: str = "text/event-stream; charset=utf-8") -> bytes:
        body = "".join(frames).encode()
        return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n".encode() + body

    return build


@pytest.fixture
def answer() -> Callable[..., bytes]:
    """A whole JSON response."""

    def build(status: int, body: str = "", **headers: str) -> bytes:
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        return (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body.encode())}\r\n"
            f"connection: close\r\n{extra}\r\n{body}"
        ).encode()

    return build
