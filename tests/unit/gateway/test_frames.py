"""What goes over the wire."""

import json

import pytest
from contracts.codes import Code
from contracts.cursor import Cursor
from contracts.events import TextDelta, encode_event
from gateway.domain.frames import end_frame, event_frame, feed_frame, opening, run_event_frame
from gateway.domain.problems import STATUS, TITLES, Refusal
from gateway.handlers.watch import check_place
from hypothesis import given
from hypothesis import strategies as st


def delta(text: str) -> TextDelta:
    return TextDelta(thread_id="thr_1", run_id="run_1", sequence=7, attempt=1, at="now", part=0, delta=text)


@given(st.text())
def test_a_frame_is_one_event_whatever_the_text(text: str) -> None:
    data = encode_event(delta(text))
    kind, sequence, frame = run_event_frame(42, data)
    assert (kind, sequence) == ("text.delta", 7)
    head, event, body, blank, rest = frame.split(b"\n")
    assert (head, event, blank, rest) == (b"id: 42-7", b"event: text.delta", b"", b"")
    assert body == b"data: " + data
    assert b"\r" not in frame


def test_frames_without_a_place_leave_the_clients_as_it_is() -> None:
    assert event_frame(None, delta("x")).startswith(b"event: text.delta\ndata: {")
    assert event_frame(Cursor(0, 7), delta("x")).startswith(b"id: 0-7\nevent: text.delta\n")
    assert end_frame("draining", "4-2") == b'event: end\ndata: {"reason":"draining","cursor":"4-2"}\n\n'
    assert feed_frame(9, b'{"type":"run.failed"}') == b'id: 9-0\nevent: run.failed\ndata: {"type":"run.failed"}\n\n'
    assert opening(1500) == b"retry: 1500\n: stream open\n\n"


def test_the_place_a_client_asks_for() -> None:
    assert check_place(None, None) == "whole"
    assert check_place(None, "") == "whole"
    assert check_place("0-0", None) == Cursor(0, 0)
    assert check_place("4-2", "9-9") == Cursor(4, 2)
    assert check_place(None, "9-9") == Cursor(9, 9)
    assert check_place(None, "latest") == "latest"
    for header, query in (("latest", None), ("x", "4-2"), (None, "x"), (None, "4-")):
        with pytest.raises(Refusal) as refused:
            check_place(header, query)
        assert (refused.value.code, refused.value.status) == (Code.CURSOR_INVALID, 400)


def test_every_code_has_a_status_and_every_status_a_title() -> None:
    assert set(STATUS) == set(Code)
    assert set(STATUS.values()) <= set(TITLES)


def test_a_refusal_as_a_document() -> None:
    refusal = Refusal(Code.LIMIT_REACHED, "Too many.", retry_after=0.2)
    assert refusal.headers == {"retry-after": "1"}
    document = json.loads(json.dumps(refusal.document("ab" * 16)))
    assert document == {
        "type": "urn:everthread:problem:limit_reached",
        "title": "Too many requests",
        "status": 429,
        "detail": "Too many.",
        "code": "limit_reached",
        "trace_id": "ab" * 16,
        "retry_after": 1,
    }
    assert Refusal(Code.UNAVAILABLE, "Away.").headers["retry-after"] == "1"
    assert Refusal(Code.LIMIT_REACHED, "Later.", retry_after=3.2).headers["retry-after"] == "4"
    assert "retry-after" not in Refusal(Code.MESSAGE_EMPTY, "Empty.").headers
