"""The AG-UI door's events, judged by the official client (enforceEvents, verifyEvents, its reducer): whole, cut and resumed."""

from typing import Any

from contracts import events as e
from contracts.parts import ReasoningPart, TextPart, ToolCallPart
from contracts.run_state import RunState
from gateway.domain.protocols.agui import AguiMapping
from gateway.domain.protocols.frame import sse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients.node import NodeClients
from tests.run_logs import MESSAGE, fold, run_logs

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HISTORY: list[dict[str, Any]] = [{"id": "u1", "role": "user", "content": "hi"}]


def new_mapping() -> AguiMapping:
    return AguiMapping(thread_id="thread", run_id="run", history=HISTORY)


def bodies_of(log: list[e.RunEvent]) -> list[list[str]]:
    """Each AG-UI run's events, as on the wire: an interrupt ends one, and the next begins."""
    mapping = new_mapping()
    bodies: list[list[str]] = [[]]
    for event in log:
        frames = mapping.feed(event)
        if frames and len(bodies) <= mapping.segment - (1 if mapping.ended else 0):
            bodies.append([])
        bodies[-1] += [sse(frame).decode() for frame in frames]
    return bodies


def resumed(log: list[e.RunEvent], at: int) -> tuple[list[str], int]:
    """The prelude after `at` events and the rest of that AG-UI run, with the number of events it covers."""
    mapping = new_mapping()
    for event in log[:at]:
        mapping.feed(event)
    frames = mapping.prelude(fold(log[:at]))
    segment = mapping.segment
    while at < len(log) and not (mapping.ended or mapping.segment > segment):
        frames += mapping.feed(log[at])
        at += 1
    return [sse(frame).decode() for frame in frames], at


def shown(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the client holds of the run, in the words of the fold."""
    assert messages[0]["id"] == "u1"
    own = messages[1:]
    ids = [message["id"] for message in own]
    assert len(set(ids)) == len(ids)
    calls = [call for message in own for call in message.get("toolCalls") or []]
    return {
        "text": "".join(message.get("content") or "" for message in own if message["role"] == "assistant"),
        "reasoning": "".join(message["content"] for message in own if message["role"] == "reasoning"),
        "calls": [(call["id"], call["function"]["name"]) for call in calls],
        "results": sorted(message["toolCallId"] for message in own if message["role"] == "tool"),
    }


def expected(state: RunState) -> dict[str, Any]:
    parts = state.message_parts
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    return {
        "text": "".join(part.text for part in parts if isinstance(part, TextPart)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, ReasoningPart)),
        "calls": [(call.tool_call_id, call.name) for call in calls],
        "results": sorted(call.tool_call_id for call in calls if call.state in ("completed", "error")),
    }


def check_end(outcome: dict[str, Any], log: list[e.RunEvent]) -> None:
    match log[-1]:
        case e.RunFailed():
            assert outcome["runError"] == "upstream_unavailable"
        case e.RunCancelled():
            assert (outcome["error"], outcome["outcome"]) == (None, "cancelled")
        case e.RunCompleted():
            assert (outcome["error"], outcome["outcome"]) == (None, "success")
            assert outcome["result"]["message_id"] == MESSAGE


@SETTINGS
@given(log=run_logs())
def test_the_client_has_what_the_fold_has(clients: NodeClients, log: list[e.RunEvent]) -> None:
    bodies = bodies_of(log)
    answer = clients.ask("agui", bodies=[{"frames": frames} for frames in bodies], messages=HISTORY)
    assert shown(answer["messages"]) == expected(fold(log))
    for outcome in answer["outcomes"][:-1]:
        assert (outcome["error"], outcome["outcome"]) == (None, "interrupt")
        assert outcome["interrupts"]
        assert all(interrupt["toolCallId"] for interrupt in outcome["interrupts"])
    check_end(answer["outcomes"][-1], log)


@SETTINGS
@given(log=run_logs(), data=st.data(), known=st.booleans())
def test_a_cut_anywhere_and_a_resume_anywhere_later(
    clients: NodeClients, log: list[e.RunEvent], data: st.DataObject, known: bool
) -> None:
    """`known`: the viewer has what it saw before the cut; else it comes with the user's message only."""
    first = bodies_of(log)[0]
    cut = data.draw(st.integers(1, len(first)), label="cut")
    frames, end = resumed(log, data.draw(st.integers(1, len(log)), label="resumed at"))
    bodies: list[dict[str, Any]] = [{"frames": first[:cut], "broken": True}] if known else []
    answer = clients.ask("agui", bodies=[*bodies, {"frames": frames}], messages=HISTORY)
    got, want = shown(answer["messages"]), expected(fold(log[:end]))
    # A client keeps reasoning that no snapshot can remove: what was taken back, or came after the cursor, may remain.
    got.pop("reasoning")
    want.pop("reasoning")
    assert got == want
    if end == len(log):
        check_end(answer["outcomes"][-1], log)
    else:
        assert answer["outcomes"][-1]["outcome"] == "interrupt"


@given(log=run_logs(), data=st.data())
def test_the_same_prefix_gives_the_same_frames(log: list[e.RunEvent], data: st.DataObject) -> None:
    whole = [frame for body in bodies_of(log) for frame in body]
    prefix = [frame for body in bodies_of(log[: data.draw(st.integers(0, len(log)))]) for frame in body]
    assert whole[: len(prefix)] == prefix
