"""The AI SDK door's chunks, judged by useChat's own Chat and transports: whole, cut and resumed, counted."""

from typing import Any

from contracts import events as e
from contracts.parts import ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.run_state import RunState
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.frame import sse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients.node import NodeClients
from tests.run_logs import MESSAGE, RUN, THREAD, fold, run_logs

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def segments_of(log: list[e.RunEvent], mapping: AiSdkMapping | None = None) -> list[list[str]]:
    """Each response's frames, as on the wire."""
    mapping = mapping or AiSdkMapping()
    segments: list[list[str]] = [[]]
    for event in log:
        frames = mapping.feed(event)
        if frames and len(segments) <= mapping.segment - (1 if mapping.ended else 0):
            segments.append([])
        segments[-1] += [sse(frame).decode() for frame in frames]
    return segments


def resumed(log: list[e.RunEvent], at: int) -> tuple[list[str], int]:
    """The response of a viewer who comes after `at` events: what there is, then the rest of the segment; with the number of
    events it covers."""
    mapping = AiSdkMapping()
    for event in log[:at]:
        mapping.feed(event)
    frames = mapping.prelude(fold(log[:at]))
    segment = mapping.segment
    while at < len(log) and not (mapping.ended or mapping.segment > segment):
        frames += mapping.feed(log[at])
        at += 1
    return [sse(frame).decode() for frame in frames], at


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """What the client's page has, in the words of the fold."""
    assert [message["role"] for message in answer["messages"]] == ["user", "assistant"], answer["messages"]
    message = answer["messages"][1]
    parts = message["parts"]
    tools = {part["toolCallId"]: part for part in parts if part["type"].startswith("tool-")}
    return {
        "id": message["id"],
        "text": "".join(part["text"] for part in parts if part["type"] == "text"),
        "reasoning": "".join(part["text"] for part in parts if part["type"] == "reasoning"),
        "sources": sorted(part["sourceId"] for part in parts if part["type"].startswith("source-")),
        "tools": {call: (part["input"], part["state"], part.get("output")) for call, part in tools.items()},
        "tool_parts": sum(part["type"].startswith("tool-") for part in parts),
    }


def expected(state: RunState, asked: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What the fold says the page must have."""
    states = {"pending": "input-available", "running": "input-available"}
    states |= {"completed": "output-available", "error": "output-error"}
    calls = [part for part in state.message_parts if isinstance(part, ToolCallPart)]
    return {
        "id": MESSAGE,
        "text": "".join(part.text for part in state.message_parts if isinstance(part, TextPart)),
        "reasoning": "".join(part.text for part in state.message_parts if isinstance(part, ReasoningPart)),
        "sources": sorted(part.source_id for part in state.message_parts if isinstance(part, SourcePart)),
        "tools": {
            call.tool_call_id: (
                call.input,
                "approval-requested" if call.tool_call_id in asked else states[call.state],
                call.output,
            )
            for call in calls
        },
        "tool_parts": len(calls),
    }


def check_end(answer: dict[str, Any], log: list[e.RunEvent]) -> None:
    end = log[-1]
    metadata = answer["messages"][1]["metadata"]
    assert metadata["model"] == "openai:gpt-4o-mini"
    assert metadata["path"] == "durable_event"
    assert metadata["usage"]["output_tokens"] == fold(log).usage.output_tokens
    assert metadata["cost_microusd"] == fold(log).cost_microusd
    if isinstance(end, e.RunFailed):
        assert answer["status"] == "error"
        assert "did not answer" in answer["error"]
        assert metadata["status"] == "error"
    else:
        assert (answer["status"], answer["error"]) == ("ready", None)
        assert metadata["status"] == ("complete" if isinstance(end, e.RunCompleted) else "cancelled")


@SETTINGS
@given(log=run_logs())
def test_the_page_has_what_the_fold_has(clients: NodeClients, log: list[e.RunEvent]) -> None:
    answer = clients.ask("ai_sdk", segments=segments_of(log))
    # An approval that was answered before the first segment ended leaves no trace but the answer itself.
    got, want = shown(answer), expected(fold(log))
    unfinished = {call for call, (_, state, _) in want["tools"].items() if state == "input-available"}
    for call in unfinished:
        # An approval that was asked for and never used stays on the page as it was asked.
        if got["tools"][call][1] == "approval-requested":
            got["tools"][call] = want["tools"][call]
    assert got == want
    check_end(answer, log)


@SETTINGS
@given(data=st.data(), log=run_logs())
def test_a_cut_anywhere_and_a_resume_anywhere_later(
    clients: NodeClients, data: st.DataObject, log: list[e.RunEvent]
) -> None:
    segments = segments_of(log)
    segment = data.draw(st.integers(0, len(segments) - 1), label="segment")
    cut = data.draw(st.integers(0, len(segments[segment])), label="cut")
    at = data.draw(st.integers(2, len(log)), label="resumed at")
    resume, end = resumed(log, at)
    answer = clients.ask("ai_sdk", segments=segments, cut={"segment": segment, "at": cut}, resume=resume)
    got, want = shown(answer), expected(fold(log[:end]))
    for call, (given_input, state, output) in got["tools"].items():
        if state == "approval-requested":
            got["tools"][call] = (given_input, "input-available", output)
    assert got == want
    if end == len(log):
        check_end(answer, log)


@SETTINGS
@given(log=run_logs(approvals=False), data=st.data(), clean=st.booleans())
def test_the_workflow_transport_counts_and_comes_back_by_itself(
    clients: NodeClients, log: list[e.RunEvent], data: st.DataObject, clean: bool
) -> None:
    (frames,) = segments_of(log)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frames)), max_size=3, unique=True)))
    answer = clients.ask("workflow", frames=frames, cuts=cuts, clean=clean)
    got, want = shown(answer), expected(fold(log))
    assert got == want
    check_end(answer, log)


@SETTINGS
@given(log=run_logs(approvals=False), back=st.integers(1, 30))
def test_the_last_chunks_alone_do_not_break_the_client(clients: NodeClients, log: list[e.RunEvent], back: int) -> None:
    (frames,) = segments_of(log)
    answer = clients.ask("workflow", frames=frames, cuts=[], clean=True, negative=-back)
    assert answer["asked"] == [-back]
    # A failed run's `error` is the last chunk but one: whoever asks for one chunk only sees the end.
    failed = isinstance(log[-1], e.RunFailed) and back > 1
    assert answer["status"] == ("error" if failed else "ready"), answer["error"]


@given(log=run_logs(), data=st.data())
def test_the_same_prefix_gives_the_same_frames(log: list[e.RunEvent], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log)))
    whole = [frame for segment in segments_of(log) for frame in segment]
    prefix = [frame for segment in segments_of(log[:at]) for frame in segment]
    assert whole[: len(prefix)] == prefix


@given(log=run_logs(), data=st.data())
def test_a_resume_is_few_frames(log: list[e.RunEvent], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(log)))
    mapping = AiSdkMapping()
    for event in log[:at]:
        mapping.feed(event)
    state = fold(log[:at])
    assert len(mapping.prelude(state)) <= 3 * len(state.parts) + 9


def test_a_retraction_of_an_earlier_step_is_an_error_the_page_shows() -> None:
    head: dict[str, Any] = {"thread_id": THREAD, "run_id": RUN, "attempt": 1, "at": "2026-11-21T03:17:47.123Z"}
    mapping = AiSdkMapping()
    mapping.feed(e.RunStarted(**head, sequence=1, message_id=MESSAGE, model="m", path="durable_event"))
    mapping.feed(e.StepStarted(**head, sequence=2, step=1, kind="model", name="m"))
    mapping.feed(e.TextDelta(**head, sequence=3, part=0, delta="a"))
    mapping.feed(e.StepFinished(**head, sequence=4, step=1))
    mapping.feed(e.StepStarted(**head, sequence=5, step=2, kind="model", name="m"))
    (frame,) = mapping.feed(e.TextRetracted(**head, sequence=6, from_sequence=2))
    assert b'"type":"error"' in frame.data
