"""The responses door, judged by both official SDKs: from the start, by id, and from every `starting_after`."""

import json
from typing import Any

import httpx2
import openai
from contracts import events as e
from contracts.parts import ReasoningPart, SourcePart, TextPart, ToolCallPart
from gateway.domain.protocols.frame import sse
from gateway.domain.protocols.openai_response_object import About, output_items, response_id, response_object, run_id_of
from gateway.domain.protocols.openai_responses import ResponsesMapping
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients.node import NodeClients
from tests.run_logs import AT, MODEL, RUN, fold, run_logs

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ABOUT = About(run_id=RUN, model=MODEL, created_at=AT)


def frames_of(log: list[e.RunEvent]) -> list[str]:
    mapping = ResponsesMapping(ABOUT)
    return [sse(frame).decode() for event in log for frame in mapping.feed(event)]


def payloads(frames: list[str]) -> list[dict[str, Any]]:
    return [json.loads(frame.split("data: ", 1)[1]) for frame in frames]


def text_of(output: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])


def python_final(frames: list[str], starting_after: int | None) -> tuple[list[int], Any]:
    """The Python helper's events after `starting_after`, and its last response object."""
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, content="".join(frames).encode(), headers={"content-type": "text/event-stream"})
    )
    numbers, last = [], None
    with (
        httpx2.Client(transport=transport) as http,
        openai.OpenAI(api_key="k", base_url="http://t/openai/v1", http_client=http, max_retries=0) as client,
    ):
        by_id: dict[str, Any] = {"response_id": response_id(RUN)}
        if starting_after is None:
            by_id = {"model": "m", "input": "hi"}
        else:
            by_id["starting_after"] = starting_after
        with client.responses.stream(**by_id) as stream:
            for event in stream:
                numbers.append(event.sequence_number)
                last = getattr(event, "response", last)
    return numbers, last


@SETTINGS
@given(log=run_logs(), data=st.data())
def test_both_clients_end_with_the_stored_text(
    clients: NodeClients, log: list[e.RunEvent], data: st.DataObject
) -> None:
    frames, state, end = frames_of(log), fold(log), log[-1]
    after = data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=3))
    answer = clients.ask("openai_responses", frames=frames, after=after)
    status = {e.RunCompleted: "completed", e.RunFailed: "failed", e.RunCancelled: "cancelled"}[type(end)]
    for final in [answer["final"], *(resumed["final"] for resumed in answer["resumed"])]:
        assert final["status"] == status
        assert final["output_text"] == state.content
        assert text_of(final["output"]) == state.content
        assert final["usage"]["output_tokens"] == state.usage.output_tokens
    for start, resumed in zip(after, answer["resumed"], strict=True):
        assert resumed["numbers"] == list(range(start + 1, len(frames)))
    for begin in (None, *after):
        numbers, last = python_final(frames, begin)
        assert numbers == list(range(0 if begin is None else begin + 1, len(frames)))
        if numbers:
            assert last.status == status
            assert last.output_text == state.content


@SETTINGS
@given(log=run_logs())
def test_the_output_says_what_the_fold_says(log: list[e.RunEvent]) -> None:
    state, events = fold(log), payloads(frames_of(log))
    output = events[-1]["response"]["output"]
    parts = state.message_parts
    reasoning = "".join(item["content"][0]["text"] for item in output if item["type"] == "reasoning")
    assert reasoning == "".join(part.text for part in parts if isinstance(part, ReasoningPart))
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    ran = {part.tool_call_id for part in calls if part.state != "pending"}
    assert sum(item["type"] == "mcp_call" for item in output) == len(ran)
    left = [item["call_id"] for item in output if item["type"] == "function_call"]
    completed = isinstance(log[-1], e.RunCompleted)
    assert left == [part.tool_call_id for part in calls if part.state == "pending" and completed]
    for item in output:
        if item["type"] == "mcp_call" and item["status"] == "completed":
            assert item["error"] is None
    if any(isinstance(part, TextPart) for part in parts):
        cited = sum(len(item["content"][0]["annotations"]) for item in output if item["type"] == "message")
        sources = [part for part in parts if isinstance(part, SourcePart)]
        assert cited <= len(sources)


@given(log=run_logs())
def test_events_are_numbered_from_zero_and_named_twice(log: list[e.RunEvent]) -> None:
    frames = frames_of(log)
    events = payloads(frames)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    for frame, event in zip(frames, events, strict=True):
        assert frame.startswith(f"event: {event['type']}\n")


@given(log=run_logs())
def test_every_item_is_added_once_and_ended(log: list[e.RunEvent]) -> None:
    events = payloads(frames_of(log))
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    done = {event["output_index"] for event in events if event["type"] == "response.output_item.done"}
    assert added == list(range(len(added)))
    assert done == set(added)


@given(log=run_logs(), data=st.data())
def test_the_same_prefix_gives_the_same_frames(log: list[e.RunEvent], data: st.DataObject) -> None:
    prefix = frames_of(log[: data.draw(st.integers(0, len(log)))])
    assert frames_of(log)[: len(prefix)] == prefix


@given(log=run_logs())
def test_a_stored_answer_reads_like_the_streams_last_word(log: list[e.RunEvent]) -> None:
    state = fold(log)
    output = output_items(RUN, state.message_parts, state.status)
    streamed = payloads(frames_of(log))[-1]["response"]["output"]
    assert text_of(output) == text_of(streamed)
    asked = "mcp_approval_request"
    assert sorted(item["type"] for item in output) == sorted(item["type"] for item in streamed if item["type"] != asked)


def test_ids_are_the_runs() -> None:
    assert run_id_of(response_id(RUN)) == RUN
    assert run_id_of("nonsense") == "run_nonsense"


def test_the_object_has_what_the_python_types_require() -> None:
    response = response_object(ABOUT, status="queued", output=[])
    parsed = openai.types.responses.Response.model_validate(response)
    assert parsed.status == "queued"
