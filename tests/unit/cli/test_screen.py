from io import StringIO

import pytest
from contracts import events as e
from contracts.usage import Usage
from everthread.screen import Screen, printable, summary

USAGE = Usage(input_tokens=37, output_tokens=120)


class Pair:
    def __init__(self) -> None:
        self.out, self.notes = StringIO(), StringIO()
        self.screen = Screen(self.out, self.notes, come_back="COME", stop="STOP")


def delta(text: str) -> e.TextDelta:
    return e.TextDelta(thread_id="t", run_id="r", sequence=1, attempt=1, at="", part=0, delta=text)


def test_stdout_carries_the_answer_and_nothing_else() -> None:
    pair = Pair()
    pair.screen.waiting("sending")
    assert pair.screen.show(delta("Hel")) is None
    assert pair.screen.show(delta("lo")) is None
    end = e.RunCompleted(
        thread_id="t", run_id="r", sequence=2, attempt=1, at="", message_id="m", usage=USAGE, cost_microusd=78
    )
    assert pair.screen.show(end) == 0
    assert pair.out.getvalue() == "Hello\n"
    assert pair.notes.getvalue() == "37 tokens in, 120 out, 0.000078 USD\n"


def test_a_failure_says_why_and_has_an_exit_code() -> None:
    pair = Pair()
    end = e.RunFailed(
        thread_id="t", run_id="r", sequence=2, attempt=1, at="", message_id="m", usage=USAGE, cost_microusd=0,
        code="rate_limited", message="too many\x1b[2J",
    )  # fmt: skip
    assert pair.screen.show(end) == 1
    assert pair.notes.getvalue() == "failed (rate_limited): too many[2J\n"


def test_a_takeover_and_a_retraction_are_told() -> None:
    pair = Pair()
    pair.screen.show(delta("half"))
    pair.screen.show(e.AttemptStarted(thread_id="t", run_id="r", sequence=2, attempt=2, at="", worker="inference-2"))
    pair.screen.show(e.TextRetracted(thread_id="t", run_id="r", sequence=3, attempt=2, at="", from_sequence=1))
    assert pair.out.getvalue() == "half\n"
    assert "inference-2 takes over" in pair.notes.getvalue()
    assert "taken back" in pair.notes.getvalue()


def test_leaving_says_how_to_come_back_and_how_to_stop() -> None:
    pair = Pair()
    pair.screen.detached()
    assert "Come back: COME" in pair.notes.getvalue()
    assert "Stop it: STOP" in pair.notes.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("\x9b31mred", "31mred"),
        ("é漢\u200d", "é漢\u200d"),
        ("a\rb", "ab"),
    ],
)
def test_what_a_model_writes_does_not_steer_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("usage", "cost", "line"),
    [
        (USAGE, 1_234_567, "37 tokens in, 120 out, 1.234567 USD"),
        (
            Usage(input_tokens=5, cached_tokens=2, estimated=True),
            None,
            "about 5 tokens in (2 cached), 0 out, cost unknown",
        ),
    ],
)
def test_the_summary(usage: Usage, cost: int | None, line: str) -> None:
    assert summary(usage, cost) == line
