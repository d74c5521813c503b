"""A parser of server-sent events (WHATWG HTML, section 9.2.6), fed with bytes as they arrive from the network."""

import re
from dataclasses import dataclass
from typing import Final

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class SseError(ValueError):
    """The bytes are no event stream: a line never ends. Close the connection."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event. `id` is the last one given, by this event or one before it; empty if none was."""

    type: str
    data: bytes
    id: str


class SseParser:
    """Feed it reads of any size, cut anywhere. An event that the stream ends in the middle of is never given out."""

    def __init__(self) -> None:
        self.retry: float | None = None
        """The reconnection time that the server asked for, in seconds; None until it asks."""
        self._rest = b""
        self._at_start = True
        self._skip_newline = False
        self._type = ""
        self._data: list[bytes] = []
        self._id = ""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that `chunk` completes. Raises SseError."""
        if not chunk:
            return []
        if self._skip_newline:
            # A line ended with the last read's CR, which counted at once; its LF is no second line end.
            chunk = chunk.removeprefix(b"\n")
            self._skip_newline = False
        data, unfinished = self._rest + chunk, len(self._rest)
        if self._at_start:
            if len(data) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(data):
                self._rest = data
                return []
            data, unfinished = data.removeprefix(_BYTE_ORDER_MARK), 0
            self._at_start = False
        events: list[SseEvent] = []
        start = 0
        # What the last read left over holds no line end, so the search goes on behind it: long lines stay linear.
        for end in _LINE_END.finditer(data, unfinished):
            event = self._line(data[start : end.start()])
            if event is not None:
                events.append(event)
            start = end.end()
        self._skip_newline = start == len(data) and data.endswith(b"\r")
        self._rest = data[start:]
        if len(self._rest) > MAX_LINE_BYTES:
            raise SseError(f"a line of the event stream is longer than {MAX_LINE_BYTES} bytes")
        return events

    def _line(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._dispatch()
        name, colon, value = line.partition(b":")
        if colon:
            value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._type = value.decode("utf-8", "replace")
            case b"id":
                if b"\x00" not in value:
                    self._id = value.decode("utf-8", "replace")
            case b"retry":
                if value.isdigit():
                    self.retry = int(value) / 1000
            case _:
                pass  # A comment (empty name) or a field of a later standard: the standard says to ignore it.
        return None

    def _dispatch(self) -> SseEvent | None:
        data, kind = self._data, self._type
        self._data, self._type = [], ""
        return SseEvent(type=kind or "message", data=b"\n".join(data), id=self._id) if data else None
