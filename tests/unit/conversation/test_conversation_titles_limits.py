"""Titles from first messages, and what is refused for its size."""

import pytest
from contracts.codes import Code
from conversation.domain.limits import (
    Limits,
    check_content,
    check_key,
    check_prompt,
    check_tags,
    check_title,
    page_size,
)
from conversation.domain.refusals import RefusedError
from conversation.domain.titles import LENGTH, title_from
from hypothesis import given
from hypothesis import strategies as st

LIMITS = Limits()


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Hello", "Hello"),
        ("  two\n\nlines  ", "two lines"),
        ("word " * 30, "word " * 11 + "word…"),
        ("x" * 200, "x" * (LENGTH - 1) + "…"),
        ("a" * LENGTH, "a" * LENGTH),
        (
            "What do you think of this sentence, which is cut off in the middle?",
            "What do you think of this sentence, which is cut off in the…",
        ),
    ],
)
def test_a_title_is_the_first_words(content: str, title: str) -> None:
    assert title_from(content) == title


@given(st.text(min_size=1, max_size=3000).filter(lambda text: bool(text.strip())))
def test_a_title_is_one_short_line_and_never_empty(content: str) -> None:
    title = title_from(content)
    assert 0 < len(title) <= LENGTH
    assert title == " ".join(title.split())


def test_a_message_is_kept_as_it_was_written_up_to_the_limit() -> None:
    text = " " + "x" * (LIMITS.message_characters - 1)
    assert check_content(text, LIMITS) == text
    with pytest.raises(RefusedError) as caught:
        check_content(text + "x", LIMITS)
    assert caught.value.code is Code.MESSAGE_TOO_LONG
    assert "200,000" in caught.value.sentence
    with pytest.raises(RefusedError) as caught:
        check_content(" \n\u2003", LIMITS)
    assert caught.value.code is Code.MESSAGE_EMPTY


def test_tags_are_trimmed_once_each_and_bounded() -> None:
    assert check_tags([" b", "a", "b "], LIMITS) == ("b", "a")
    for tags in (["x"] * 3 + [""], ["x" * 51], [str(n) for n in range(21)]):
        with pytest.raises(RefusedError):
            check_tags(tags, LIMITS)


def test_titles_prompts_and_keys_are_bounded() -> None:
    assert check_title("a\n b", LIMITS) == "a b"
    assert check_prompt("  ", LIMITS) == ""
    assert check_key("", LIMITS) == ""
    with pytest.raises(RefusedError):
        check_title("x" * 201, LIMITS)
    with pytest.raises(RefusedError):
        check_prompt("x" * 20_001, LIMITS)
    with pytest.raises(RefusedError):
        check_key("k\x00", LIMITS)


def test_a_page_has_the_size_asked_for_within_bounds() -> None:
    assert [page_size(limit, LIMITS) for limit in (-1, 0, 1, 200, 10**9)] == [50, 50, 1, 200, 200]
