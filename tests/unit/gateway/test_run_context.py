"""What an application tells the model: found again whole, whatever is in it."""

from gateway.domain.run_context import context_text
from hypothesis import given
from hypothesis import strategies as st

PIECES = st.lists(st.tuples(st.text(alphabet="ab `\n", max_size=8), st.text(alphabet="a`\n", max_size=12)), max_size=4)


@given(pieces=PIECES)
def test_no_piece_can_close_its_fence(pieces: list[tuple[str, str]]) -> None:
    text = context_text(pieces)
    kept = [(" ".join(about.split()), value) for about, value in pieces if about.strip() or value.strip()]
    if not kept:
        assert text == ""
        return
    head, _, rest = text.partition("\n\n")
    fence = head.rpartition(" ")[2].removesuffix(".")
    assert set(fence) == {"`"}
    assert rest == "\n\n".join(
        f"{about or 'Without a description'}:\n{fence}\n{value}\n{fence}" for about, value in kept
    )
    assert rest.count(fence) == 2 * len(kept)
