"""Calls that were left to a client and what it told of them: whatever a thread holds, a provider is sent pairs or neither."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from contracts.parts import Part, TextPart, ToolCallPart, ToolState
from contracts.registry import load_registry
from conversation.domain.context import Context, InputMessage
from conversation.domain.entities import Message, Role, Status
from hypothesis import given
from hypothesis import strategies as st
from inference.agents.domain.context import ContextTooLongError, Entry, Offer, fit
from inference.domain.run_input import StoredMessage
from inference.domain.turn import history_of, question_of

from tests.upstream_script import malformed

LARGE = load_registry({}).models["openai:gpt-4o-mini"]


def call(id: str, state: ToolState = "pending", **more: Any) -> ToolCallPart:
    return ToolCallPart(tool_call_id=id, name="look", state=state, input={"at": id}, **more)


def result(id: str, output: str = "blue") -> ToolCallPart:
    return ToolCallPart(tool_call_id=id, name="look", state="completed", output=output)


def chain_of(*said: tuple[Role, str, tuple[Part, ...]], status: Status = "complete") -> list[Message]:
    return [
        Message(
            id=str(number),
            thread_id="t",
            user_id="u",
            position=number,
            role=role,
            status=status,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            content=content,
            parts=parts,
            parent_message_id=str(number - 1) if number else "",
        )
        for number, (role, content, parts) in enumerate(said)
    ]


def gathered(chain: list[Message], window: int = 100_000) -> list[InputMessage]:
    *earlier, question = chain
    context = Context(question, "", replace(LARGE, context_window=window, max_output_tokens=None))
    for message in reversed(earlier):
        if context.wants_more():
            context.offer(message)
    return context.messages


def sent(messages: list[InputMessage], window: int = 100_000) -> list[dict[str, Any]]:
    """As a provider gets them; raises ContextTooLongError."""
    stored = [StoredMessage(message.role, message.content, message.parts) for message in messages]
    offer = Offer(system="", turn=question_of(stored), history=history_of(stored))
    return [_json(entry) for entry in fit(offer, window=window, reserved=0, count=len).entries]


def _json(entry: Entry) -> dict[str, Any]:
    calls = [
        {"id": use.tool_call_id, "function": {"name": use.name, "arguments": use.arguments}} for use in entry.calls
    ]
    return {"role": entry.role, "content": entry.text, "tool_call_id": entry.tool_call_id, "tool_calls": calls}


def test_results_to_be_answered_are_the_calls_own() -> None:
    chain = chain_of(
        ("user", "old", ()),
        ("assistant", "fine", ()),
        ("user", "ask", ()),
        ("assistant", "hm", (TextPart(text="hm"), call("a"), call("s", "completed", output=1), call("b"))),
        ("tool", "blue\ngreen", (result("a"), result("b", "green"))),
    )
    messages = gathered(chain)
    assert [(message.role, message.content) for message in messages] == [
        ("user", "old"), ("assistant", "fine"), ("user", "ask"), ("assistant", "hm"),
    ]  # fmt: skip
    body = sent(messages)
    assert [message["role"] for message in body] == ["user", "assistant", "user", "assistant", "tool", "tool", "tool"]
    assert [message["content"] for message in body[-3:]] == ["blue", "1", "green"]


def test_a_turn_goes_in_back_to_its_question_whatever_its_size() -> None:
    chain = chain_of(
        ("user", "old", ()),
        ("assistant", "fine", ()),
        ("user", "ask", ()),
        ("assistant", "", (call("a"),)),
        ("tool", "x", (result("a", "x" * 10_000),)),
        ("assistant", "", (call("a"),)),
        ("tool", "y", (result("a", "y" * 10_000),)),
    )
    messages = gathered(chain, window=500)
    assert [message.content for message in messages] == ["ask", "", ""]
    body = sent(messages, window=2_000)
    assert [message["role"] for message in body] == ["user", "assistant", "tool", "assistant", "tool"]
    assert malformed(body) == ""


def test_results_whose_call_is_not_there_are_read_as_words() -> None:
    lost = chain_of(("user", "ask", ()), ("assistant", "no", ()), ("tool", "blue", (result("a"),)))
    assert [(message.role, message.content) for message in gathered(lost)][-1] == ("user", "[look] blue")
    failed = chain_of(("user", "ask", ()), ("assistant", "", (call("a"),)), ("tool", "blue", (result("a"),)))
    failed[1] = replace(failed[1], status="error")
    assert [(message.role, message.content) for message in gathered(failed)] == [
        ("user", "ask"),
        ("user", "[look] blue"),
    ]


def test_what_a_service_appended_in_between_stays_where_it_was() -> None:
    chain = chain_of(
        ("user", "ask", ()),
        ("assistant", "", (call("a"),)),
        ("tool", "shipped", (call("9", "completed"), TextPart(text="shipped"))),
        ("tool", "blue", (result("a"),)),
    )
    assert [message["content"] for message in sent(gathered(chain))] == ["ask", "", "blue", "[look] shipped"]


IDS = st.sampled_from(["a", "b", "c"])
STATES: st.SearchStrategy[ToolState] = st.sampled_from(["pending", "pending", "completed", "error"])
CALLS = st.lists(IDS, min_size=1, max_size=3, unique=True).flatmap(
    lambda ids: st.tuples(*(st.builds(call, st.just(id), STATES) for id in ids))
)
SAID: st.SearchStrategy[tuple[Role, str, tuple[Part, ...]]] = st.one_of(
    st.tuples(st.just("user"), st.sampled_from(["x", "y" * 90]), st.just(())),
    st.tuples(st.just("assistant"), st.sampled_from(["", "x"]), st.just(())),
    st.tuples(st.just("assistant"), st.just("x"), CALLS.map(lambda calls: (TextPart(text="x"), *calls))),
    st.tuples(st.just("assistant"), st.just(""), CALLS),
    st.tuples(
        st.just("tool"),
        st.just("r"),
        st.lists(IDS, min_size=1, unique=True).map(lambda ids: tuple(result(id, "r" * 40) for id in ids)),
    ),
    st.just(("tool", "event", (call("e", "completed"), TextPart(text="event")))),
)
ENDS: st.SearchStrategy[list[Status]] = st.lists(
    st.sampled_from(["complete", "complete", "error", "cancelled"]), min_size=12
)


@given(said=st.lists(SAID, min_size=1, max_size=10), ends=ENDS, window=st.integers(60, 900), room=st.integers(60, 900))
def test_never_a_broken_pair(
    said: list[tuple[Role, str, tuple[Part, ...]]], ends: list[Status], window: int, room: int
) -> None:
    last: tuple[Role, str, tuple[Part, ...]] = ("user", "x", ())
    chain = chain_of(*said, *(() if said[-1][0] == "tool" and len(said[-1][2]) else (last,)))
    chain = [
        replace(message, status=ends[number]) if message.role == "assistant" else message
        for number, message in enumerate(chain)
    ]
    messages = gathered(chain, window)
    assert messages
    with suppress(ContextTooLongError):
        assert malformed(sent(messages, room)) == ""
