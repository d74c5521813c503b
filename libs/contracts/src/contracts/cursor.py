"""Cursors: where a viewer is. Opaque to clients; the SSE `id`.

`<stream sequence>-<run sequence>`: the first finds the place in RUNS at once, the second tells whether it is still the
same log (a rebuilt stream numbers anew).
"""

from dataclasses import dataclass


class InvalidCursorError(ValueError):
    """The text is no cursor that Everthread gave out. Nothing was read; start without one."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place after the event numbered `sequence` in its run, stored at `stream_sequence`."""

    stream_sequence: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.stream_sequence}-{self.sequence}"


START = Cursor(0, 0)


def parse_cursor(text: str) -> Cursor:
    """Read a cursor; raises InvalidCursorError."""
    first, dash, second = text.partition("-")
    if dash and first.isascii() and second.isascii() and first.isdigit() and second.isdigit() and len(text) <= 40:
        return Cursor(int(first), int(second))
    raise InvalidCursorError(f"not a cursor: {text[:40]!r}; use the id of an event you received, or leave it out")
