"""The parser of server-sent events: the standard's cases, cut at every place."""

from itertools import pairwise

import pytest
from everthread_client import sse
from everthread_client.sse import SseError, SseEvent, SseParser
from hypothesis import given
from hypothesis import strategies as st

STREAM = (
    "\ufeff: welcome\r\nretry: 1500\r\n\r\n"
    'id: 1-1\nevent: text.delta\ndata: {"delta":"Grüße 🌍"}\n\n'
    ":\n\n"
    "data:no space\rdata\rdata:  two spaces\r\r"
    "id: 2-2\r\ndata: crlf\r\n\r\n"
    "event: nothing without data\n\n"
    "unknown: field\nid\ndata: id emptied\n\n"
    "data: never finished"
).encode()
EVENTS = [
    SseEvent("text.delta", '{"delta":"Grüße 🌍"}'.encode(), "1-1"),
    SseEvent("message", b"no space\n\n two spaces", "1-1"),
    SseEvent("message", b"crlf", "2-2"),
    SseEvent("message", b"id emptied", ""),
]


def parse(*chunks: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_in_one_read() -> None:
    assert parse(STREAM) == EVENTS


def test_byte_by_byte() -> None:
    assert parse(*(STREAM[n : n + 1] for n in range(len(STREAM)))) == EVENTS


def test_cut_anywhere() -> None:
    for cut in range(len(STREAM)):
        assert parse(STREAM[:cut], b"", STREAM[cut:]) == EVENTS, cut


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_cut_at_several_places(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert parse(*(STREAM[a:b] for a, b in pairwise(places))) == EVENTS


def test_retry_is_kept_and_rubbish_is_not() -> None:
    parser = SseParser()
    assert parser.retry is None
    parser.feed(b"retry: 250\n\nretry: soon\n\nretry: -1\n\nretry:\n\n")
    assert parser.retry == 0.25


def test_an_id_with_a_null_is_ignored() -> None:
    assert parse(b"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n") == [
        SseEvent("message", b"a", "1"),
        SseEvent("message", b"b", "1"),
    ]


def test_the_event_name_is_of_one_event_only() -> None:
    assert [event.type for event in parse(b"event: x\n\ndata: a\n\n")] == ["message"]


def test_an_event_is_given_out_with_its_last_line_end() -> None:
    assert parse(b"data: a\r\n\r") == [SseEvent("message", b"a", "")]
    assert parse(b"data: a\r\n\r", b"\ndata: b\n\n")[1:] == [SseEvent("message", b"b", "")]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_LINE_BYTES", 100)
    parser = SseParser()
    parser.feed(b"data: " + b"x" * 80)
    with pytest.raises(SseError):
        parser.feed(b"x" * 80)
