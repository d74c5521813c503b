"""durable-streams: any log, read in any pieces from any offset, is the log; offsets and cursors only grow."""

import msgspec
import pytest
from contracts import events as e
from gateway.domain.protocols.durable_stream import (
    EPOCH,
    DurableStreamMapping,
    InvalidOffsetError,
    Offset,
    Place,
    array,
    etag,
    next_cursor,
    parse_offset,
    sse_piece,
)
from gateway.domain.protocols.frame import sse
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.run_logs import run_logs


@settings(max_examples=60, deadline=None)
@given(run_logs(), st.data())
def test_a_log_in_any_pieces_from_any_offset(log: list[e.RunEvent], data: st.DataObject) -> None:
    mapping = DurableStreamMapping()
    frames = [sse(frame) for event in log for frame in mapping.feed(event)]
    assert mapping.ended == isinstance(log[-1], e.RunCompleted | e.RunFailed | e.RunCancelled)
    begin = data.draw(st.integers(0, len(frames)))
    cut = data.draw(st.integers(begin, len(frames)))
    read = [msgspec.json.decode(array(b"".join(piece))) for piece in (frames[begin:cut], frames[cut:])]
    assert read[0] + read[1] == [msgspec.json.decode(e.encode_event(event)) for event in log[begin:]]


def test_offsets_are_ordered_as_texts_and_come_back() -> None:
    offsets = [Offset(0), Offset(9), Offset(10), Offset(1, stored=True), Offset(2, stored=True)]
    assert sorted(offsets, key=str) == offsets
    assert [parse_offset(str(offset)) for offset in offsets] == offsets
    assert parse_offset("-1") == Offset(0)
    for text in ("", "0", "l1", "0,1", "x0000000001", "l00000000001", "l٠٠٠٠٠٠٠٠٠٠"):
        with pytest.raises(InvalidOffsetError):
            parse_offset(text)


@given(st.integers(0, 10**12), st.integers(0, 500))
def test_a_cursor_never_comes_back(given_cursor: int, jitter: int) -> None:
    now = EPOCH + 20 * 1000.0
    assert next_cursor(str(given_cursor), now=now, jitter=jitter) > given_cursor or given_cursor < 1000
    assert next_cursor("", now=now, jitter=jitter) == next_cursor("none", now=now, jitter=jitter) == 1000


def test_what_ends_a_piece() -> None:
    place = Place(offset=Offset(2), up_to_date=True, closed=False)
    assert sse_piece(b"{},{},", place, cursor=7) == (
        b"event: data\ndata:[{},{}]\n\n"
        b'event: control\ndata:{"streamNextOffset":"l0000000002","streamCursor":"7","upToDate":true}\n\n'
    )
    closed = Place(offset=Offset(2), up_to_date=True, closed=True)
    assert sse_piece(b"", closed, cursor=7) == (
        b'event: control\ndata:{"streamNextOffset":"l0000000002","streamClosed":true,"upToDate":true}\n\n'
    )
    assert "stream-cursor" not in closed.headers(cursor=7)
    tags = {etag("r", Offset(0), one) for one in (place, closed)} | {etag("r", Offset(1), place)}
    assert len(tags) == 3
