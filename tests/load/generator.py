"""A cheap load generator: many SSE streams read by one asyncio process, one regular expression per arrival.

Tokens carry their index and the time they were sent at (`<index>:<monotonic ns> `, the scripted upstream's `stamp`), so
latency needs no synchronised clocks and holds however tokens were joined on the way. Loopback only; every stream has a token count at which
it ends, and the whole run has a deadline.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

STAMP = re.compile(rb"(\d+):(\d{12,}) ")
HEADER_END = b"\r\n\r\n"


@dataclass
class Stream:
    """What one stream has seen. Times are monotonic nanoseconds."""

    asked_at: int = 0
    first_token_at: int = 0
    indexes: list[int] = field(default_factory=list)
    arrivals: list[tuple[int, int]] = field(default_factory=list)
    """(when, how long after it was sent) of each token."""
    status: int = 0
    closed: bool = False


class _Reader(asyncio.Protocol):
    def __init__(
        self, request: bytes, stream: Stream, end_marks: tuple[bytes, ...], done: asyncio.Future[None]
    ) -> None:
        self._request, self._stream, self._end_marks, self._done = request, stream, end_marks, done
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in all but the class.
        stream_transport = cast(asyncio.Transport, transport)
        self._transport = stream_transport
        self._stream.asked_at = self._stream.asked_at or time.monotonic_ns()
        stream_transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        stream = self._stream
        data = self._rest + data
        if not stream.status:
            stream.status = int(data[9:12])
        position = 0
        for match in STAMP.finditer(data):
            stream.indexes.append(int(match.group(1)))
            stream.arrivals.append((now, now - int(match.group(2))))
            position = match.end()
        if position and not stream.first_token_at:
            stream.first_token_at = now
        if any(mark in data for mark in self._end_marks):
            self._finish()
        # A stamp may be split over two reads; nothing longer than one is kept.
        self._rest = data[max(position, len(data) - 40) :]

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.closed = True
        self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def read_stream(
    url: str,
    stream: Stream,
    *,
    end_marks: tuple[bytes, ...],
    headers: dict[str, str] | None = None,
    body: object = None,
    deadline: float = 60,
) -> None:
    """Read one stream until one of `end_marks` is seen in it, it is closed, or the deadline (seconds) has passed."""
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1", "the generator talks to this machine only"
    payload = b"" if body is None else json.dumps(body).encode()
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{'GET' if body is None else 'POST'} {target} HTTP/1.1",
        f"host: {parts.netloc}",
        "accept: text/event-stream",
    ]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if payload:
        lines += ["content-type: application/json", f"content-length: {len(payload)}"]
    request = "\r\n".join(lines).encode() + HEADER_END + payload
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    transport, _ = await loop.create_connection(
        lambda: _Reader(request, stream, end_marks, done), parts.hostname, parts.port or 80
    )
    try:
        await asyncio.wait_for(done, deadline)
    finally:
        transport.close()
