"""What a thread looks like in a terminal: lines that are finished, and those that still grow."""

from typing import Any

import pytest
from contracts import events as e
from contracts.run_state import RunState
from contracts.usage import Usage
from everthread.talk.people import People
from everthread.talk.standing import Standing
from everthread.talk.transcript import Transcript

ME, OTHER = "usr_01M7YSWS63V740QA6R3SCSWZEM", "usr_01M7YSWS63V740QA6R3SCABCDEF"
USAGE = Usage(input_tokens=3, output_tokens=4)


class Paper:
    """A transcript and what it has written."""

    def __init__(self, columns: int = 80) -> None:
        self.lines: list[str] = []
        self.transcript = Transcript(
            lambda text, style: self.lines.extend(text.split("\n")), People(ME), lambda: columns
        )
        self.sequence = 0

    def __call__(self, made: Any, run: str = "r", attempt: int = 1, **fields: Any) -> None:
        self.sequence += 1
        event = made(thread_id="t", run_id=run, sequence=self.sequence, attempt=attempt, at="", **fields)
        self.transcript.show(event)

    def say(self, delta: str, **fields: Any) -> None:
        self(e.TextDelta, part=fields.pop("part", 0), delta=delta, **fields)

    @property
    def growing(self) -> list[str]:
        return [text for _, text in self.transcript.growing()]


def test_a_line_is_written_once_it_has_ended() -> None:
    paper = Paper()
    paper.say("one\ntw")
    assert (paper.lines, paper.growing) == (["answer:", "one"], ["tw"])
    paper.say("o")
    paper(e.RunCompleted, message_id="m", usage=USAGE, cost_microusd=5)
    assert paper.lines[1:] == ["one", "two", "[3 tokens in, 4 out, 0.000005 USD]"]
    assert paper.growing == []


def test_what_a_crash_takes_back_is_gone_from_the_line_that_grew() -> None:
    paper = Paper()
    paper(e.StepStarted, step=1, kind="model", name="m")
    paper.say("half a")
    paper(e.AttemptStarted, attempt=2, worker="inference-2-01M7YTGT0ECVYRXW0FYAZPGMK5")
    assert paper.growing == ["half a"]
    paper(e.TextRetracted, attempt=2, from_sequence=1 + 1)
    paper.say("whole", attempt=2)
    paper(e.RunCompleted, attempt=2, message_id="m", usage=USAGE, cost_microusd=None)
    assert paper.lines[:3] == ["answer:", "[inference-2 goes on with it: attempt 2, nothing is lost]", "whole"]


def test_what_stands_already_is_taken_back_in_words() -> None:
    paper = Paper()
    paper(e.StepStarted, step=1, kind="model", name="m")
    paper.say("one\ntwo")
    paper(e.TextRetracted, from_sequence=2)
    assert paper.lines[-1] == "[what stands above since the last step is taken back and written anew]"
    assert paper.growing == []


def test_two_who_speak_at_once_keep_their_lines_apart() -> None:
    paper = Paper()
    paper.say("alpha", agent="a")
    paper.say("beta", agent="b", part=1)
    assert paper.growing == ["a:", "alpha", "b:", "beta"]
    paper.say(" ends\n", agent="a")
    paper.say(" ends\n", agent="b", part=1)
    assert paper.lines == ["a:", "alpha ends", "b:", "beta ends"]


def test_tools_are_shown_with_state_output_time_and_source() -> None:
    paper = Paper()
    paper(e.ToolCall, part=0, tool_call_id="c", name="search", input={"query": "keel"}, state="pending", agent="clerk")
    paper(e.ToolProgress, tool_call_id="c", name="search", state="running", progress="half")
    assert paper.growing == ["search: running, half"]
    paper(
        e.ToolResult, tool_call_id="c", name="search", state="completed", output=[1], agent="clerk",
        started_at="2026-11-21T10:00:00.000Z", ended_at="2026-11-21T10:00:01.500Z",
    )  # fmt: skip
    paper(e.Source, part=1, source_id="s", title="Ships\x1b[2J", quote="in Bremen")
    paper(e.RunResumed, reason="approved", by=OTHER)
    paper(e.RunCancelled, message_id="m", by=ME, usage=USAGE, cost_microusd=0)
    assert paper.lines == [
        '[clerk: search {"query": "keel"}]',
        "[clerk: search -> [1] · 1.5 s]",
        "[source: Ships[2J: in Bremen]",
        "[goes on: approved by usr_…ABCDEF]",
        "[stopped by you · 3 tokens in, 4 out, 0.000000 USD]",
    ]


@pytest.mark.parametrize("columns", [20, 80])
def test_a_line_without_an_end_goes_into_the_history_in_pieces_of_whole_words(columns: int) -> None:
    paper = Paper(columns)
    words = [f"word{number}" for number in range(400)]
    for word in words:
        paper.say(word + " ")
    paper(e.RunCompleted, message_id="m", usage=USAGE, cost_microusd=0)
    assert len(paper.lines) > 3
    assert " ".join(paper.lines[1:-1]).split() == words


def test_a_running_answer_is_told_up_to_where_its_events_go_on() -> None:
    paper = Paper()
    state = RunState(run_id="r", thread_id="t")
    for sequence, delta in enumerate(("one\n", "tw"), 1):
        state.apply(e.TextDelta(thread_id="t", run_id="r", sequence=sequence, attempt=1, at="", part=0, delta=delta))
    paper.transcript.state(state)
    paper.say("o\n")
    assert paper.lines == ["answer:", "one", "two"]


def test_the_status_line_says_what_is_true() -> None:
    standing = Standing(run_id="r", since=0.0)
    head = {"thread_id": "t", "run_id": "r", "at": ""}
    assert standing.words(0.4) == "queued"
    standing.apply(e.RunStarted(**head, sequence=1, attempt=1, message_id="m", model="p:m", path="durable_event"), 1.0)
    standing.apply(e.StepStarted(**head, sequence=2, attempt=1, step=1, kind="model", name="p:m", agent="clerk"), 1.0)
    assert standing.words(5.2) == "thinking 4 s · clerk · p:m · durable_event"
    for second in range(4):
        event = e.TextDelta(**head, sequence=3 + second, attempt=2, part=0, delta="x" * 80)
        standing.apply(event, 6.0 + second)
    assert standing.words(9.0).startswith("writing 27 tokens/s · clerk · p:m · durable_event · attempt 2, nothing lost")
    used = e.UsageReported(
        **head, sequence=7, attempt=2, step=1, of_attempt=2, model="p:m", usage=USAGE, cost_microusd=None
    )
    standing.apply(used, 9.0)
    assert standing.words(9.0).endswith("3 in, 4 out · cost unknown")
