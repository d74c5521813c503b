"""What the model is sent: along the branch, newest first until the room is used up, only what is finished."""

from dataclasses import replace
from datetime import UTC, datetime

from contracts.registry import load_registry
from conversation.domain.context import Context, InputMessage, estimated_tokens, room_for_input
from conversation.domain.entities import Message, Role, Status

MODEL = replace(
    load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": "http://x/v1"}).models["embedded:smollm2-135m"],
    context_window=200,
    max_output_tokens=None,
)


def message(id: str, parent: str, content: str, *, role: Role = "user", status: Status = "complete") -> Message:
    return Message(
        id=id,
        thread_id="t",
        user_id="u",
        position=1,
        role=role,
        status=status,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        content=content,
        parent_message_id=parent,
    )


def gathered(question: Message, *newest_first: Message, prompt: str = "") -> list[str]:
    context = Context(question, prompt, MODEL)
    for one in newest_first:
        context.offer(one)
    return [f"{one.role}: {one.content}" for one in context.messages]


def test_the_history_is_the_branch_and_not_what_lies_beside_it() -> None:
    assert gathered(
        message("q2", "a1", "two"),
        message("qx", "a1", "beside"),
        message("a1", "q1", "answer", role="assistant"),
        message("q1", "", "one"),
        prompt="Be brief.",
    ) == ["system: Be brief.", "user: one", "assistant: answer", "user: two"]


def test_unfinished_and_failed_answers_are_left_out_and_stopped_ones_kept() -> None:
    chain = [
        message("a4", "q4", "so far", role="assistant", status="generating"),
        message("q4", "a3", "four"),
        message("a3", "q3", "half", role="assistant", status="cancelled"),
        message("q3", "a2", "three"),
        message("a2", "q2", "broken", role="assistant", status="error"),
        message("q2", "a1", "two"),
        message("a1", "q1", "", role="assistant", status="cancelled"),
        message("q1", "", "one"),
    ]
    found = gathered(message("q5", "a4", "five"), *chain)
    assert found == ["user: one", "user: two", "user: three", "assistant: half", "user: four", "user: five"]


def test_what_does_not_fit_ends_the_history_which_begins_with_a_user() -> None:
    long = "x" * 300
    found = gathered(
        message("q3", "a2", "three"),
        message("a2", "q2", "short", role="assistant"),
        message("q2", "a1", long),
        message("a1", "q1", "older", role="assistant"),
        message("q1", "", "oldest"),
    )
    assert found == ["user: oldest", "assistant: older", f"user: {long}", "assistant: short", "user: three"]
    found = gathered(
        message("q3", "a2", "three"),
        message("a2", "q2", "short", role="assistant"),
        message("q2", "a1", "x" * 600),
        message("a1", "q1", "older", role="assistant"),
    )
    assert found == ["user: three"]


def test_a_message_that_is_too_long_alone_is_sent_alone() -> None:
    context = Context(message("q", "a", "x" * 10_000), "Be brief.", MODEL)
    assert not context.wants_more()
    assert context.messages == [InputMessage("system", "Be brief."), InputMessage("user", "x" * 10_000)]


def test_the_estimate_errs_on_the_safe_side() -> None:
    assert estimated_tokens("hello world, this is English") > 28 / 4
    assert estimated_tokens("漢字") >= 2
    assert room_for_input(MODEL) == 150
    assert room_for_input(replace(MODEL, max_output_tokens=10)) == 190
