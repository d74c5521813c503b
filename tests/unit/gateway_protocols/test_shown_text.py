"""Text for viewers who can only be given more: what is new to them after something was taken back."""

from gateway.domain.protocols.shown_text import ShownText
from hypothesis import given
from hypothesis import strategies as st

PIECES = st.lists(st.text(alphabet="ab", min_size=1, max_size=3), max_size=6)


def test_the_same_words_again_are_not_seen() -> None:
    text = ShownText()
    assert [text.add("Hel"), text.add("lo wor")] == ["Hel", "lo wor"]
    text.take_back("")
    assert [text.add("Hello"), text.add(" world"), text.add("!")] == ["", "ld", "!"]
    assert text.complete
    assert text.shown == "Hello world!"


def test_other_words_are_final() -> None:
    text = ShownText()
    text.add("Hello")
    text.take_back("He")
    assert text.add("y") == ""
    assert text.diverged
    assert text.add("llo") == ""
    assert not text.complete


@given(kept=PIECES, shown=PIECES, again=PIECES)
def test_either_the_viewer_has_the_logs_text_or_it_is_said(kept: list[str], shown: list[str], again: list[str]) -> None:
    text = ShownText()
    for piece in [*kept, *shown]:
        assert text.add(piece) == piece
    text.take_back("".join(kept))
    seen = "".join([*kept, *shown]) + "".join(text.add(piece) for piece in again)
    assert text.shown == seen
    wanted = "".join([*kept, *again])
    assert text.complete == (seen == wanted)
    assert text.diverged == (not wanted.startswith(seen) and not seen.startswith(wanted))
