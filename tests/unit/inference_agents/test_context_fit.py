"""Fitting a context: what goes first, what stays together, what is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.agents.domain.context import (
    TOKENS_PER_MESSAGE,
    ContextTooLongError,
    Entry,
    Fitted,
    Offer,
    ToolUse,
    fit,
)


def words(text: str) -> int:
    return len(text.split())


def said(role: Any, size: int, number: int = 0) -> Entry:
    return Entry(role=role, text=" ".join(["w"] * size), id=f"msg_{number}")


def step(call_id: str, size: int = 5, text: str = "") -> list[Entry]:
    return [
        Entry(role="assistant", text=text, calls=(ToolUse(tool_call_id=call_id, name="t", arguments="{}"),)),
        Entry(role="tool", text=" ".join(["r"] * size), tool_call_id=call_id),
    ]


def fitted(window: int, **offer: Any) -> Fitted:
    offer.setdefault("turn", [said("user", 10, 99)])
    return fit(Offer(system="be kind", **offer), window=window, reserved=0, count=words)


def test_what_fits_is_whole() -> None:
    result = fitted(1000, history=[said("user", 5, 1), said("assistant", 5, 2)], passages=["p q", "r s"])
    assert [entry.id for entry in result.entries] == ["msg_1", "msg_2", "msg_99"]
    assert result.passages == ("p q", "r s")
    assert result.decision.is_whole
    assert result.decision.oldest == "msg_1"
    assert result.decision.input_tokens == 2 + 20 + 4 + 4 * TOKENS_PER_MESSAGE + 2 * TOKENS_PER_MESSAGE


def test_the_oldest_goes_first_and_it_is_told() -> None:
    history = [said("user" if number % 2 == 0 else "assistant", 20, number) for number in range(20)]
    result = fitted(200, history=history)
    kept = [entry.id for entry in result.entries]
    assert kept[-1] == "msg_99"
    assert kept[:-1] == [f"msg_{number}" for number in range(20 - len(kept) + 1, 20)]
    assert result.entries[0].role == "user"
    assert result.decision.history_dropped == 20 - len(kept) + 1
    assert result.decision.oldest == kept[0]
    assert not result.decision.is_whole


def test_a_summary_stands_for_what_was_dropped_only() -> None:
    history = [said("user" if number % 2 == 0 else "assistant", 20, number) for number in range(20)]
    result = fitted(200, history=history, summary="they spoke of lamps")
    assert result.system == "be kind\n\nEarlier in this conversation: they spoke of lamps"
    assert result.decision.summarised
    whole = fitted(2000, history=history, summary="they spoke of lamps")
    assert (whole.system, whole.decision.summarised) == ("be kind", False)


def test_a_message_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ContextTooLongError, match="takes 95"):
        fitted(100, turn=[said("user", 100)])
    with pytest.raises(ContextTooLongError):
        fit(Offer(system="", turn=[said("user", 10)]), window=100, reserved=200, count=words)


def test_passages_take_their_share_and_no_more() -> None:
    passages = [" ".join(["p"] * 30)] * 10
    history = [said("user", 20, number) for number in range(20)]
    result = fitted(400, passages=passages, history=history)
    assert 1 <= result.decision.passages_kept < 10
    assert result.decision.passages_kept + result.decision.passages_dropped == 10
    assert result.decision.history_kept >= 5


def test_the_steps_of_the_run_come_before_the_history() -> None:
    turn = [said("user", 10, 99), *step("a", 50), *step("b", 50)]
    result = fitted(200, turn=turn, history=[said("user", 100, 1)])
    assert result.decision.history_kept == 0
    assert [entry.role for entry in result.entries] == ["user", "assistant", "tool", "assistant", "tool"]


def test_long_results_are_shortened_before_a_step_is_dropped() -> None:
    turn = [said("user", 10, 99), *step("a", 5000), *step("b", 5000)]
    result = fitted(1000, turn=turn)
    assert result.decision.results_shortened == 2
    assert result.decision.steps_dropped == 0
    assert all("[Shortened to fit" in entry.text for entry in result.entries if entry.role == "tool")


def test_many_steps_lose_the_oldest_whole() -> None:
    turn = [said("user", 10, 99), *(entry for number in range(40) for entry in step(f"c{number}", 200))]
    result = fitted(1000, turn=turn)
    calls = [call.tool_call_id for entry in result.entries for call in entry.calls]
    assert calls == [f"c{number}" for number in range(40 - len(calls), 40)]
    assert 0 < len(calls) < 40
    assert result.decision.steps_dropped == 2 * (40 - len(calls))


def test_a_call_whose_result_never_came_is_not_sent() -> None:
    parted = Entry(
        role="assistant",
        text="let me see",
        calls=(
            ToolUse(tool_call_id="x", name="t", arguments="{}"),
            ToolUse(tool_call_id="y", name="t", arguments="{}"),
        ),
    )
    result = fitted(
        1000, history=[said("user", 1), parted, Entry(role="tool", text="r", tool_call_id="y"), said("user", 1)]
    )
    assert [call.tool_call_id for entry in result.entries for call in entry.calls] == ["y"]
    alone = fitted(
        1000, history=[said("user", 1), step("z")[0], said("user", 1), Entry(role="tool", text="r", tool_call_id="q")]
    )
    assert [entry.role for entry in alone.entries] == ["user", "user", "user"]


ENTRIES = st.lists(
    st.one_of(
        st.builds(said, st.sampled_from(["user", "assistant"]), st.integers(0, 30)).map(lambda entry: [entry]),
        st.builds(step, st.integers(0, 10**9).map(str), st.integers(0, 60), st.sampled_from(["", "so"])),
    ),
    max_size=12,
).map(lambda units: [entry for unit in units for entry in unit])


@given(
    ENTRIES, ENTRIES, st.integers(20, 600), st.lists(st.just("p " * 10), max_size=5), st.sampled_from(["", "s " * 9])
)
def test_never_too_long_never_a_broken_pair(
    history: list[Entry], later: list[Entry], window: int, passages: list[str], summary: str
) -> None:
    offer = Offer(
        system="be kind",
        history=history,
        turn=[said("user", 3), *later],
        passages=passages,
        summary=summary,
        tools="x y",
    )
    try:
        result = fit(offer, window=window, reserved=5, count=words)
    except ContextTooLongError:
        return
    sent = [*result.entries]
    size = words(result.system) + 2 + TOKENS_PER_MESSAGE
    size += sum(TOKENS_PER_MESSAGE + words(passage) for passage in result.passages)
    for entry in sent:
        size += TOKENS_PER_MESSAGE + words(entry.text)
        size += sum(TOKENS_PER_MESSAGE + words(call.name) + words(call.arguments) for call in entry.calls)
    assert size <= window - 5
    open_calls: set[str] = set()
    for entry in sent:
        if entry.role == "tool":
            assert entry.tool_call_id in open_calls
            open_calls.remove(entry.tool_call_id)
        else:
            assert not open_calls
            open_calls = {call.tool_call_id for call in entry.calls}
    assert not open_calls
    decision = result.decision
    assert decision.history_kept + decision.history_dropped == len(history)
    assert decision.as_data()["window"] == window
