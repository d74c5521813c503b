"""Server-sent events: the bytes on the wire. The data of a run's event is the log's own bytes, unchanged."""

from typing import Final

import msgspec
from contracts.cursor import Cursor
from contracts.events import RunEvent, encode_event, event_head

HEARTBEAT: Final = b": \n\n"
HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class _FeedHead(msgspec.Struct):
    type: str


_feed_head: msgspec.json.Decoder[_FeedHead] = msgspec.json.Decoder(_FeedHead)


def opening(retry_milliseconds: int) -> bytes:
    """The first bytes of every stream: how long to wait before a reconnect, and proof that the stream stands."""
    return b"retry: %d\n: stream open\n\n" % retry_milliseconds


def run_event_frame(stream_sequence: int, data: bytes) -> tuple[str, int, bytes]:
    """`(type, run sequence, frame)` of a stored run event."""
    kind, sequence, _ = event_head(data)
    return kind, sequence, b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (stream_sequence, sequence, kind.encode(), data)


def event_frame(cursor: Cursor | None, event: RunEvent) -> bytes:
    """The frame of an event that is in no log; without a cursor the client keeps the one it has."""
    data = encode_event(event)
    kind, _, _ = event_head(data)
    place = b"" if cursor is None else b"id: %b\n" % str(cursor).encode()
    return b"%bevent: %b\ndata: %b\n\n" % (place, kind.encode(), data)


def feed_frame(stream_sequence: int, data: bytes) -> bytes:
    """The frame of a feed entry."""
    return b"id: %d-0\nevent: %b\ndata: %b\n\n" % (stream_sequence, _feed_head.decode(data).type.encode(), data)


def end_frame(reason: str, cursor: str) -> bytes:
    """The server ends the stream, not the run: come back with `cursor` (here, or at another gateway)."""
    return b"event: end\ndata: %b\n\n" % msgspec.json.encode({"reason": reason, "cursor": cursor})
