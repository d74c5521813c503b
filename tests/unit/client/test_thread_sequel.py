"""A thread's stream as its viewer folds it: each run's events in order and once, whatever connections they came by."""

import msgspec
import pytest
from contracts.events import RunEvent, TextDelta, TextRetracted, encode_event
from everthread_client.answers import Presence
from everthread_client.following import GapError
from everthread_client.sse import SseEvent
from everthread_client.threads import ThreadSequel


def text(run: str, sequence: int) -> TextDelta:
    return TextDelta(thread_id="t", run_id=run, sequence=sequence, attempt=1, at="", part=0, delta="x")


def frame(event: RunEvent) -> SseEvent:
    return SseEvent(type="any", data=encode_event(event), id="1-1")


def test_runs_are_followed_apart_and_repetitions_left_out() -> None:
    sequel = ThreadSequel()
    given = [
        sequel.next(frame(text(run, number))) for run, number in [("a", 1), ("b", 7), ("a", 2), ("a", 2), ("b", 8)]
    ]
    assert given == [text("a", 1), text("b", 7), text("a", 2), None, text("b", 8)]
    assert not sequel.finished()


def test_a_gap_within_a_run_is_no_event() -> None:
    sequel = ThreadSequel()
    sequel.next(frame(text("a", 1)))
    with pytest.raises(GapError):
        sequel.next(frame(text("a", 3)))
    # The place is as it was: the reconnect brings what is missing.
    assert sequel.next(frame(text("a", 2))) == text("a", 2)


def test_a_run_that_the_server_tells_again_begins_anew() -> None:
    sequel = ThreadSequel()
    for number in (1, 2, 3):
        sequel.next(frame(text("a", number)))
    again = TextRetracted(thread_id="t", run_id="a", sequence=2, attempt=1, at="", from_sequence=1)
    assert sequel.next(frame(again)) == again
    assert sequel.next(frame(text("a", 3))) == text("a", 3)


def test_presence_has_no_number_and_what_is_unknown_is_left_out() -> None:
    sequel = ThreadSequel()
    body = {
        "type": "presence",
        "thread_id": "t",
        "items": [{"user_id": "u", "connections": 1, "typing": True, "new": 1}],
    }
    found = sequel.next(SseEvent(type="presence", data=msgspec.json.encode(body), id=""))
    assert isinstance(found, Presence)
    assert found.items[0].typing
    assert sequel.next(SseEvent(type="presence", data=b"{", id="")) is None
    unknown = b'{"type":"run.sang","sequence":1,"run_id":"a"}'
    assert sequel.next(SseEvent(type="run.sang", data=unknown, id="2-1")) is None
    assert sequel.next(frame(text("a", 2))) == text("a", 2)
