"""The write side of durable-streams, for its conformance suite only: streams are runs whose events the suite's appends become.

Reads go through the gateway's own door, whose status, headers, offsets and control events come back as they are. Only the
content is put back into what the suite wrote: the door serves events, and the suite wants its bytes again.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
from contracts import events as e
from contracts.ids import MESSAGE, RUN, THREAD, new_id, user_id_of
from contracts.run_state import RunState
from contracts.usage import Usage
from gateway.domain.protocols.durable_stream import Offset
from rpc.v1 import conversation_pb2 as pb
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.integration.gateway.world import AT, ISSUER, World, Writer, token


@dataclass
class Stream:
    """One of the suite's streams."""

    content_type: str
    writer: Writer
    closed: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == "application/json"

    async def append(self, body: bytes) -> None:
        """One event per message: a JSON array is many, but for what it holds."""
        values = [body.decode("latin-1")]
        if self.is_json:
            found = msgspec.json.decode(body)
            values = found if isinstance(found, list) else [found]
        for value in values:
            number = self.writer.state.sequence
            call = {"tool_call_id": f"call-{number}", "name": "append", "state": "pending"}
            await self.writer.write(e.ToolCall, part=number, input=value, **call)

    async def close(self) -> None:
        await self.writer.write(e.RunCompleted, message_id="m", usage=Usage(), cost_microusd=None)
        self.closed = True

    def bodies(self, array: bytes) -> bytes:
        """What the suite wrote, out of what the door serves."""
        values = [event["input"] for event in msgspec.json.decode(array) if event["type"] == "tool.call"]
        return msgspec.json.encode(values) if self.is_json else "".join(values).encode("latin-1")


class WriteSide:
    """An ASGI application around the gateway's."""

    def __init__(self, gateway: ASGIApp, world: World) -> None:
        self._gateway, self._world = gateway, world
        self._streams: dict[str, Stream] = {}
        self._token = token("suite").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._gateway(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            await self._read(scope, receive, send)
        else:
            await self._write(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = self._streams.get(scope["path"])
        run_id = new_id(RUN) if stream is None else stream.writer.state.run_id
        path = f"/streams/runs/{run_id}"
        headers = [*scope["headers"], (b"authorization", b"Bearer " + self._token)]
        inner = dict(scope) | {"path": path, "raw_path": path.encode(), "headers": headers}
        await self._gateway(inner, receive, send if stream is None else _Translated(stream, send).send)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        closing = headers.get("stream-closed", "").lower() == "true"
        stream = self._streams.get(scope["path"])
        status = 204
        if scope["method"] == "PUT":
            status = 200 if stream is not None else 201
            stream = stream or await self._open(scope["path"], headers.get("content-type", "text/plain"))
        if stream is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        async with stream.writing:
            if body and status != 200:
                await stream.append(body)
            if closing and not stream.closed:
                await stream.close()
        told = {
            "location": f"http://{headers['host']}{scope['path']}",
            "content-type": stream.content_type,
            "stream-next-offset": str(Offset(stream.writer.state.sequence)),
            "x-content-type-options": "nosniff",
        }
        if stream.closed:
            told["stream-closed"] = "true"
        raw = [(name.encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b""})

    async def _open(self, path: str, content_type: str) -> Stream:
        thread_id, run_id = new_id(THREAD), new_id(RUN)
        run = pb.Run(
            id=run_id,
            thread_id=thread_id,
            message_id=new_id(MESSAGE),
            path="durable_event",
            status="pending",
            created_at=AT,
        )
        self._world.conversation.runs[run_id] = (user_id_of(ISSUER, "suite"), run)
        claim = await self._world.bus.run_log.claim(thread_id, run_id, worker="suite", delivery="d", after=None)
        writer = Writer(self._world.bus, RunState(run_id=run_id, thread_id=thread_id), claim)
        made = self._streams[path] = Stream(content_type, writer)
        return made


class _Translated:
    """The sending side of one read: content as it was written, everything else as the door says it."""

    def __init__(self, stream: Stream, send: Send) -> None:
        self._stream, self._send = stream, send
        self._kind = ""
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name == b"content-type"]
            self._kind = kinds[0].decode() if kinds and message["status"] == 200 else ""
            self._start = message
            if self._kind != "application/json":
                await self._send(message)
            return
        if self._kind == "text/event-stream":
            body = b"".join(self._event(event) for event in message["body"].split(b"\n\n") if event)
            await self._send(dict(message) | {"body": body})
        elif self._kind == "application/json":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._whole()
        else:
            await self._send(message)

    async def _whole(self) -> None:
        body = self._stream.bodies(self._body) if self._body else b""
        changed = {b"content-type": self._stream.content_type.encode(), b"content-length": str(len(body)).encode()}
        headers = [(name, changed.get(name, value)) for name, value in self._start["headers"]]
        await self._send(dict(self._start) | {"headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _event(self, event: bytes) -> bytes:
        name, _, data = event.partition(b"\ndata:")
        if name != b"event: data":
            return event + b"\n\n"
        written = self._stream.bodies(data)
        empty: Any = written in (b"", b"[]")
        return b"" if empty else name + b"".join(b"\ndata:" + line for line in written.split(b"\n")) + b"\n\n"
