"""Reading a run as a durable stream: what a request asks for, where its reader is, and what each piece carries."""

import random
from typing import Final
from urllib.parse import parse_qs

from contracts.codes import Code
from contracts.run_state import RunState

from gateway.domain.problems import Refusal
from gateway.domain.protocols import durable_stream as ds
from gateway.domain.protocols.frame import Mapping
from gateway.domain.records import Run
from gateway.entrypoints.wiring import Wiring
from gateway.ports import FrameViewer

RESPONSE_BYTES: Final = 1_048_576
"""What one catch-up answer holds at most, but for its last piece; the rest comes with the next offset."""
_LIVE: Final = ("", "long-poll", "sse")


class Asked:
    """The query: where from, and how. `offset` is None for `now`. Raises Refusal."""

    __slots__ = ("cursor", "live", "offset")

    def __init__(self, method: str, query_string: str) -> None:
        query = parse_qs(query_string, keep_blank_values=True)
        self.live = _only(query, "live")
        if self.live not in _LIVE:
            raise _bad(f"`live` is long-poll or sse, not {self.live[:40]!r}.")
        given = "offset" in query
        text = _only(query, "offset")
        if self.live and not given:
            raise _bad("A live read needs an `offset`; -1 is the beginning, now the end.")
        if given and not text:
            raise _bad("The offset is empty; -1 is the beginning.")
        self.cursor = _only(query, "cursor")
        try:
            self.offset = None if text == "now" else ds.parse_offset(text or "-1")
        except ds.InvalidOffsetError as error:
            raise _bad(f"{error}; use the Stream-Next-Offset of the last answer, -1 or now.") from error
        if method == "HEAD":
            self.offset = None


class Reading:
    """One viewer's reading of a run as a durable stream."""

    __slots__ = ("_stored", "_viewer", "_wiring", "asked", "run")

    def __init__(self, viewer: FrameViewer, run: Run, asked: Asked, wiring: Wiring) -> None:
        self._viewer, self.run, self.asked, self._wiring = viewer, run, asked, wiring
        self._stored = is_stored(viewer, run)

    @property
    def viewer(self) -> FrameViewer:
        """Whose reading it is."""
        return self._viewer

    @property
    def caught_up(self) -> bool:
        """Nothing more is there now."""
        return self._viewer.taken >= self._viewer.total

    @property
    def waits(self) -> bool:
        """A long poll at the end of a stream that goes on."""
        return self.asked.live == "long-poll" and not self._viewer.ended

    def place(self) -> ds.Place:
        """Behind what was taken."""
        viewer = self._viewer
        offset = ds.Offset(viewer.taken, self._stored)
        return ds.Place(offset=offset, up_to_date=self.caught_up, closed=viewer.ended)

    def end(self) -> ds.Place:
        """The end of what there is."""
        viewer = self._viewer
        return ds.Place(offset=ds.Offset(viewer.total, self._stored), up_to_date=False, closed=viewer.ended)

    def cursor(self) -> int:
        """The number that a reader gives back with its next request."""
        jitter = random.randint(1, 180)  # noqa: S311 - spreads, hides nothing
        return ds.next_cursor(self.asked.cursor, now=self._wiring.clock(), jitter=jitter)

    async def catch_up(self) -> bytes:
        """The frames that are there now, up to RESPONSE_BYTES."""
        pieces: list[bytes] = []
        size = 0
        while not self.caught_up and size < RESPONSE_BYTES:
            pieces.append(await self._viewer.take())
            size += len(pieces[-1])
        return b"".join(pieces)

    async def next(self) -> bytes:
        """The next frames, however long that takes; empty at the end."""
        piece = b""
        while not piece and not self._viewer.ended:
            piece = await self._viewer.take()
        return piece

    async def close(self) -> None:
        """Leave."""
        await self._viewer.close()


class ControlledViewer:
    """A viewer whose every piece carries its control event. The first one comes at once, even where there is no data."""

    def __init__(self, reading: Reading) -> None:
        self._reading: Final = reading
        self._told = False
        self._said_closed = False

    @property
    def ended(self) -> bool:
        return self._said_closed

    @property
    def total(self) -> int:
        return self._reading.viewer.total

    @property
    def taken(self) -> int:
        return self._reading.viewer.taken

    @property
    def state(self) -> RunState:
        return self._reading.viewer.state

    @property
    def mapping(self) -> Mapping:
        return self._reading.viewer.mapping

    async def take(self) -> bytes:
        reading = self._reading
        piece = b""
        if self._told or not reading.caught_up:
            piece = await reading.viewer.take()
        place = reading.place()
        if not piece and self._told and not place.closed:
            return b""
        self._told, self._said_closed = True, place.closed
        return ds.sse_piece(piece, place, cursor=reading.cursor())

    def wake(self) -> None:
        self._reading.viewer.wake()

    async def close(self) -> None:
        await self._reading.close()


def is_stored(viewer: FrameViewer, run: Run) -> bool:
    """Whether the viewer's messages stand for a log that has expired: then they are fewer than its events were."""
    state = viewer.state
    return viewer.total != state.sequence or 0 < run.final_sequence != state.sequence


def _only(query: dict[str, list[str]], name: str) -> str:
    values = query.get(name, [""])
    if len(values) > 1:
        raise _bad(f"`{name}` is given {len(values)} times; give it once.")
    return values[0]


def _bad(sentence: str) -> Refusal:
    return Refusal(Code.CURSOR_INVALID if "offset" in sentence else Code.QUERY_INVALID, sentence, status=400)
