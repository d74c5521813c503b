"""An HTTP server that sends exactly the bytes that a test gives it, piece by piece, and a sink that keeps what is said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from contracts.registry import Model, Provider
from inference.adapters.chat_models import ChatModels
from inference.ports import Generated, InputMessage, ModelCall

KEY = "sk-canary-7f3a9c51"
KEY_VARIABLE = "TEST_PROVIDER_KEY"


@dataclass
class RawUpstream:
    """What it answers with. `pieces` are written one at a time, each in a turn of its own; then the body ends, or the
    connection is cut (`cut`), or nothing more comes (`hang`)."""

    pieces: Sequence[bytes] = ()
    status: str = "200 OK"
    content_type: str = "text/event-stream"
    headers: Sequence[str] = ()
    cut: bool = False
    hang: bool = False
    base_url: str = ""
    requests: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    connections: list[asyncio.StreamWriter] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length:" in line)
        self.requests.append(head + await reader.readexactly(length))
        lines = [f"HTTP/1.1 {self.status}", "transfer-encoding: chunked", "connection: close", *self.headers]
        if self.content_type:
            lines.append(f"content-type: {self.content_type}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for piece in self.pieces:
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await asyncio.sleep(0)
        if self.hang:
            await reader.read()
            self.left.set()
        elif self.cut:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()
            return
        else:
            writer.write(b"0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def raw_upstream() -> AsyncIterator[RawUpstream]:
    """The server, listening."""
    upstream = RawUpstream()
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    upstream.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for writer in upstream.connections:
            writer.transport.abort()
        await server.wait_closed()


@dataclass
class Said:
    """A sink, and what the call came to."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    is_full: bool = False
    is_over: bool = False
    result: Generated | None = None

    def text(self, delta: str) -> None:
        self.texts.append(delta)

    def reasoning(self, delta: str) -> None:
        self.thoughts.append(delta)

    async def room(self) -> None:
        raise AssertionError("never full")


def model_at(base_url: str, *, max_output_tokens: int | None = None) -> Model:
    return Model(
        id="raw:model",
        provider=Provider(name="raw", base_url=base_url, api_key_env=KEY_VARIABLE),
        upstream_name="model",
        context_window=8192,
        input=Decimal(1),
        cached_input=None,
        output=Decimal(1),
        continuation="retract",
        max_output_tokens=max_output_tokens,
    )


def call_to(base_url: str, *, prefix: str = "", max_output_tokens: int | None = None) -> ModelCall:
    model = model_at(base_url, max_output_tokens=max_output_tokens)
    messages = [InputMessage("user", "hello")]
    return ModelCall(model=model, messages=messages, prefix=prefix, max_output_tokens=max_output_tokens)


async def ask(models: ChatModels, base_url: str) -> Said:
    """One call."""
    said = Said()
    said.result = await models.generate(call_to(base_url), said)
    return said
