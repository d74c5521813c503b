"""What the comparison with peers counts: lost and doubled tokens, and the text in a provider's frames."""

from collections.abc import Callable

import pytest

from tests.load.bench import Arm
from tests.load.generator import Stream
from tests.load.peers.ask_resumable_stream import said
from tests.load.peers.picture import picture
from tests.load.peers.questions import compare
from tests.load.peers.report import throughput_table
from tests.load.peers.throughput import Measured
from tests.upstream import expected_text
from tests.upstream_frames import Frames
from tests.upstream_script import parse_script, tokens_of

CONTENT = "tokens=20 seed=3"


def sent() -> str:
    script = parse_script(CONTENT)
    frames = Frames(script, "call-1", "scripted", 5)
    pieces = [frames.opening(), *(p if isinstance(p, bytes) else p() for p in frames.text(tokens_of(script)))]
    return b"".join([*pieces, frames.ending(20)]).decode()


def test_the_text_of_a_stream_is_that_of_its_whole_frames() -> None:
    assert said(sent()) == expected_text(CONTENT)
    cut = sent().index(expected_text(CONTENT).split()[7])
    assert said(sent()[:cut]) == "".join(f"{token} " for token in expected_text(CONTENT).split()[:7])


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda tokens: tokens, "whole: 20 of 20 tokens, 0 lost, 0 doubled"),
        (lambda tokens: tokens[:12], "12 of 20 tokens: 8 lost, 0 doubled"),
        (lambda tokens: [*tokens[:12], *tokens[10:]], "22 of 20 tokens: 0 lost, 2 doubled"),
        (lambda tokens: [*tokens[:5], *tokens[6:], tokens[0]], "20 of 20 tokens: 1 lost, 1 doubled"),
    ],
)
def test_lost_and_doubled_tokens_are_counted(change: Callable[[list[str]], list[str]], verdict: str) -> None:
    tokens = [f"{token} " for token in expected_text(CONTENT).split()]
    assert compare("".join(change(tokens)), CONTENT) == verdict


def test_an_arm_that_does_not_keep_up_has_no_steady_state() -> None:
    """Two streams a second apart, each token 5 ms late, or 5 s."""
    tables = []
    for late in (5_000_000, 5_000_000_000):
        found = Measured("an arm", "nothing", own=0.01, steady_own=0.01, steady_tokens=100)
        moments = range(10**9, 6 * 10**9, 10**8)
        stream = Stream(asked_at=1, first_token_at=10**9, arrivals=[(when, late) for when in moments])
        stream.indexes = list(range(len(stream.arrivals)))
        found.arm = Arm("an arm")
        found.arm.add([stream, stream], len(stream.arrivals))
        tables.append(throughput_table([found], count=2, rate=10)[-1])
        assert picture([found], count=2, rate=10).count("<rect") == 7
    assert tables == [
        "| an arm | nothing | 5.00 · 5.00 ms | 0 · 0 of 100 | 100 | 100 | 0 | 0 |",
        "| an arm | nothing | 5,000 · 5,000 ms | 0 · 0 of 100 | saturated | 100 | 0 | 0 |",
    ]
