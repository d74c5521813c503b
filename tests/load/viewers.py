"""Viewers that cost little: an event stream's bytes are kept as they come, with the time, and read when all is over."""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlsplit

from tests.load.generator import STAMP

TERMINAL = (b"event: run.completed", b"event: run.failed", b"event: run.cancelled")
FRAME_DATA = re.compile(rb"^event: (\S+)\ndata: (.*)$", re.MULTILINE)
KEPT = 256
"""Bytes in which an end mark may lie over two reads."""


class Viewer(asyncio.Protocol):
    """One event stream from the beginning. `opened` is set by its first bytes, `ended` by one of `end_marks`, both fail where
    the connection does. Times are monotonic nanoseconds."""

    def __init__(self, request: bytes, end_marks: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._request, self._end_marks, self._tail = request, end_marks, b""
        self.pieces: list[tuple[int, bytes]] = []
        self.asked_at = self.ended_at = 0
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in all but the class.
        self.transport = cast(asyncio.Transport, transport)
        self.asked_at = self.asked_at or time.monotonic_ns()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.pieces.append((now, data))
        if not self.opened.done():
            if data[9:12] == b"200":
                self.opened.set_result(None)
            else:
                self._fail(data[:300].decode(errors="replace"))
        if self._end_marks and not self.ended.done():
            looked_at = self._tail + data
            if any(mark in looked_at for mark in self._end_marks):
                self.ended_at = now
                self.ended.set_result(None)
            self._tail = looked_at[-KEPT:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}")

    def _fail(self, why: str) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(ConnectionError(why))
                # Whoever does not wait for it has not missed anything.
                future.exception()

    def close(self) -> None:
        """Leave."""
        if self.transport is not None:
            self.transport.abort()

    @property
    def milliseconds(self) -> float:
        """From the request to the end."""
        return (self.ended_at - self.asked_at) / 1e6

    def text(self) -> str:
        """The text that a client has on its screen."""
        shown: list[tuple[int, str]] = []
        for found in FRAME_DATA.finditer(_unchunked(b"".join(data for _, data in self.pieces))):
            kind = found[1]
            if kind == b"text.delta":
                event = json.loads(found[2])
                shown.append((event["sequence"], event["delta"]))
            elif kind == b"text.retracted":
                first = json.loads(found[2])["from_sequence"]
                shown = [(sequence, delta) for sequence, delta in shown if sequence < first]
        return "".join(delta for _, delta in shown)

    def arrivals(self) -> Iterator[tuple[int, int, int]]:
        """`(index, when, how long after it was sent)` of each token of a `stamp` script."""
        rest = b""
        for when, data in self.pieces:
            looked_at = rest + data
            position = 0
            for match in STAMP.finditer(looked_at):
                yield int(match[1]), when, when - int(match[2])
                position = match.end()
            # A stamp may be split over two reads; nothing longer than one is kept.
            rest = looked_at[max(position, len(looked_at) - 40) :]


async def attach(url: str, token: str, *, end_marks: Sequence[bytes] = TERMINAL, asked_at: int = 0) -> Viewer:
    """A viewer that has sent its request. `asked_at` is when its waiting began, if before that."""
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1", "the load stays on this machine"
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    _, viewer = await loop.create_connection(lambda: Viewer(request, end_marks), parts.hostname, parts.port or 80)
    viewer.asked_at = asked_at or viewer.asked_at
    return viewer


async def read_whole(url: str, token: str, *, end_marks: Sequence[bytes] = TERMINAL, within: float = 60) -> Viewer:
    """A stream from connecting to its end, closed then."""
    viewer = await attach(url, token, end_marks=end_marks, asked_at=time.monotonic_ns())
    try:
        await asyncio.wait_for(viewer.ended, within)
    finally:
        viewer.close()
    return viewer


def _unchunked(answer: bytes) -> bytes:
    """The body of a chunked HTTP answer, as far as it came."""
    _, _, rest = answer.partition(b"\r\n\r\n")
    body: list[bytes] = []
    position = 0
    while True:
        line_end = rest.find(b"\r\n", position)
        if line_end < 0:
            return b"".join(body)
        size = int(rest[position:line_end] or b"0", 16)
        body.append(rest[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2
