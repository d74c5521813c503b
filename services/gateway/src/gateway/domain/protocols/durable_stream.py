"""durable-streams (protocol of `@durable-streams/client` 0.2), read side, JSON mode: a run's log as a stream of JSON messages.

A message is an event of the log, byte for byte. An offset is how many messages lie before it: `l0000000042` in the log, or
`s0000000004` in what is stored of an answer whose log has expired, which has other and fewer messages. Offsets of one stream
are compared as texts, and `l` comes before `s` as the log did.
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec
from contracts import events as e

from gateway.domain.protocols.frame import Frame

CONTENT_TYPE: Final = "application/json"
EPOCH: Final = 1_728_432_000
"""2024-10-09T00:00:00Z, from which the protocol counts the intervals of its cursors."""
INTERVAL_SECONDS: Final = 20
_OFFSET: Final = re.compile(r"([ls])([0-9]{10})")


class InvalidOffsetError(ValueError):
    """Not an offset that this server gave out."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How many messages lie before a place, in the log or in what is `stored` instead."""

    messages: int
    stored: bool = False

    def __str__(self) -> str:
        return f"{'s' if self.stored else 'l'}{self.messages:010d}"


def parse_offset(text: str) -> Offset:
    """Raises InvalidOffsetError. The protocol's own `-1` is the beginning."""
    if text == "-1":
        return Offset(0)
    found = _OFFSET.fullmatch(text)
    if found is None:
        raise InvalidOffsetError(f"{text[:40]!r} is no offset of this stream")
    return Offset(int(found[2]), found[1] == "s")


class DurableStreamMapping:
    """One run's messages: one per event, followed by a comma, so that any number of them joined is what an array holds."""

    def __init__(self) -> None:
        self.ended = False

    def opening(self) -> list[Frame]:
        """Nothing stands before the log."""
        return []

    def feed(self, event: e.RunEvent) -> list[Frame]:
        """The event itself."""
        self.ended = isinstance(event, e.RunCompleted | e.RunFailed | e.RunCancelled)
        return [Frame(e.encode_event(event) + b",", bare=True)]


def array(piece: bytes) -> bytes:
    """What a mapping's frames are as a body: a JSON array, empty for none."""
    return b"[%b]" % piece[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a response ended: the offset to go on from, whether nothing more is stored, whether nothing more will come."""

    offset: Offset
    up_to_date: bool
    closed: bool

    def headers(self, *, cursor: int | None = None) -> dict[str, str]:
        """The protocol's headers; a closed stream has no cursor, as nobody asks again."""
        headers = {"stream-next-offset": str(self.offset)}
        if self.up_to_date:
            headers["stream-up-to-date"] = "true"
        if self.closed:
            headers["stream-closed"] = "true"
        elif cursor is not None:
            headers["stream-cursor"] = str(cursor)
        return headers

    def control(self, *, cursor: int) -> bytes:
        """The SSE event that follows each event of data."""
        control: dict[str, object] = {"streamNextOffset": str(self.offset)}
        if self.closed:
            control["streamClosed"] = True
        else:
            control["streamCursor"] = str(cursor)
        if self.up_to_date:
            control["upToDate"] = True
        return b"event: control\ndata:%b\n\n" % msgspec.json.encode(control)


def sse_piece(piece: bytes, place: Place, *, cursor: int) -> bytes:
    """Frames on an SSE connection: one event of data for all of them, then the control event."""
    data = b"event: data\ndata:%b\n\n" % array(piece) if piece else b""
    return data + place.control(cursor=cursor)


def next_cursor(given: str, *, now: float, jitter: int) -> int:
    """The number of the current interval, or one above `given` by `jitter` (at least 1) intervals: a reader who comes back with
    the cursor it has must not get the same URL, which a cache in between may hold for ever."""
    current = int((now - EPOCH) // INTERVAL_SECONDS)
    if given.isascii() and given.isdigit() and len(given) < 16 and int(given) >= current:
        return int(given) + max(1, jitter)
    return current


def etag(run_id: str, begin: Offset, place: Place) -> str:
    """Names a body: the log never changes behind a place, so where it begins and ends says what it holds."""
    return f'"{run_id}:{begin}:{place.offset}{":c" if place.closed else ""}"'
