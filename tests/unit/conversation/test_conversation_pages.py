"""Cursors come back as they were given out; anything else is refused."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from contracts.codes import Code
from contracts.ids import THREAD, new_id
from conversation.domain.pages import ThreadKey, read_position, read_thread_key, write_position, write_thread_key
from conversation.domain.refusals import RefusedError
from hypothesis import given
from hypothesis import strategies as st

MILLISECONDS = st.integers(0, 4_000_000_000_000)


@given(st.booleans(), MILLISECONDS)
def test_a_thread_key_comes_back(pinned: bool, milliseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    key = ThreadKey(pinned, moment, new_id(THREAD))
    assert read_thread_key(write_thread_key(key)) == key


@given(st.integers(0, 2**53 - 1))
def test_a_position_comes_back(position: int) -> None:
    assert read_position(write_position(position)) == position


def test_no_cursor_is_the_first_page() -> None:
    assert read_thread_key("") is None
    assert read_position("") == 0


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    for cursor in (text, _encoded(text)):
        for read in (read_thread_key, read_position):
            try:
                read(cursor)
            except RefusedError as refusal:
                assert refusal.code is Code.CURSOR_INVALID  # noqa: PT017 - most texts are refused, "" is none


@pytest.mark.parametrize(
    "text",
    [
        '["m",-1]',
        '["m",true]',
        '["m",1e3]',
        '["m",9007199254740992]',
        '["m",1,2]',
        '["t",1]',
        "null",
        "[]",
        "[" * 90,
    ],
)
def test_a_well_formed_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        read_position(_encoded(text))


@pytest.mark.parametrize(
    "text",
    [
        '["t",1,5,"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"]',
        '["t",true,true,"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"]',
        '["t",true,-5,"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"]',
        '["t",true,99999999999999999,"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"]',
        '["t",true,5,"run_01ARZ3NDEKTSV4RRFFQ69G5FAV"]',
        '["t",true,5,{"$gt":""}]',
    ],
)
def test_a_well_formed_text_that_is_no_thread_key_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        read_thread_key(_encoded(text))
