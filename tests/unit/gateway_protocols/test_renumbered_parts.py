"""A viewer whose log has expired in the middle: text is taken back, and comes again under the number of a source or a tool."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from contracts import events as e
from gateway.domain.protocols.agui import AguiMapping
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.frame import Frame

from tests.run_logs import MESSAGE, RUN, THREAD

HEAD: dict[str, Any] = {"thread_id": THREAD, "run_id": RUN, "attempt": 1, "at": "2026-11-21T03:17:47.123Z"}
BEFORE: dict[str, e.RunEvent] = {
    "source": e.Source(**HEAD, sequence=3, part=0, source_id="s", title="Page", quote="Words."),
    "tool": e.ToolCall(**HEAD, sequence=3, part=0, tool_call_id="c", name="note", input={}, state="pending"),
}


def log_with(before: e.RunEvent) -> list[e.RunEvent]:
    return [
        e.RunStarted(**HEAD, sequence=1, message_id=MESSAGE, model="m", path="durable_event"),
        e.StepStarted(**HEAD, sequence=2, step=1, kind="model", name="m"),
        before,
        e.TextDelta(**HEAD, sequence=4, part=1, delta="old"),
        e.TextRetracted(**HEAD, sequence=5, from_sequence=1),
        e.TextDelta(**HEAD, sequence=6, part=0, delta="ne"),
        e.TextDelta(**HEAD, sequence=7, part=0, delta="w"),
    ]


def bodies(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    return [json.loads(frame.data) for frame in frames]


@pytest.mark.parametrize("before", BEFORE)
def test_the_ai_sdk_has_a_text_of_its_own(before: str) -> None:
    mapping = AiSdkMapping()
    told = [bodies(mapping.feed(event)) for event in log_with(BEFORE[before])]
    chunks = [chunk for chunk in told[5] + told[6] if chunk["type"].startswith("text-")]
    assert [(chunk["type"], chunk.get("delta")) for chunk in chunks] == [
        ("text-start", None),
        ("text-delta", "ne"),
        ("text-delta", "w"),
    ]
    assert len({chunk["id"] for chunk in chunks}) == 1
    # It is a text for the mapping as well: one that is taken back and is not in what stands again.
    again = bodies(mapping.feed(e.TextRetracted(**HEAD, sequence=8, from_sequence=6)))
    assert again[0] == {"type": "reset-step"}
    assert not any("new" in json.dumps(chunk) for chunk in again)


@pytest.mark.parametrize("before", BEFORE)
def test_ag_ui_has_a_text_of_its_own(before: str) -> None:
    mapping = AguiMapping(thread_id="thread", run_id="run", history=[])
    told = [bodies(mapping.feed(event)) for event in log_with(BEFORE[before])]
    events = [event for event in told[5] + told[6] if event["type"].startswith(("TEXT_", "REASONING_"))]
    assert [(event["type"], event.get("delta")) for event in events] == [
        ("TEXT_MESSAGE_START", None),
        ("TEXT_MESSAGE_CONTENT", "ne"),
        ("TEXT_MESSAGE_CONTENT", "w"),
    ]
    assert len({event["messageId"] for event in events}) == 1
