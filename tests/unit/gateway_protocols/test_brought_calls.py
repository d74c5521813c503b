"""Calls that are left to the client, in every protocol that has them: the same ones everywhere, only at the end of a run that
completed, and what a client sends back of them is read as what they were."""

from typing import Any

import msgspec
from contracts import events as e
from contracts.parts import ToolCallPart
from gateway.domain.protocols.agui import AguiMapping
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.openai_chat import ChatMapping, completion
from gateway.domain.protocols.openai_response_object import About, output_items
from gateway.domain.protocols.openai_responses import ResponsesMapping
from gateway.domain.tool_turns import ToolTurns, pending_calls
from gateway.entrypoints import ai_sdk_input
from gateway.entrypoints.agui_input import AguiMessage, read_turns
from gateway.entrypoints.openai_response_input import read_input
from gateway.entrypoints.openai_turns import read_chat_messages
from hypothesis import given

from tests.run_logs import AT, MODEL, RUN, THREAD, fold, run_logs

ABOUT = About(run_id=RUN, model=MODEL, created_at=AT)
ASK: dict[str, Any] = {"id": "u", "role": "user", "content": "hi"}


def payloads(mapping: Any, log: list[e.RunEvent]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(frame.data) for event in log for frame in mapping.feed(event)]


def left_by(log: list[e.RunEvent]) -> list[ToolCallPart]:
    return pending_calls(fold(log).message_parts) if isinstance(log[-1], e.RunCompleted) else []


def key(call: Any) -> tuple[str, str, str]:
    return call["id"], call["function"]["name"], call["function"]["arguments"]


@given(log=run_logs())
def test_every_protocol_leaves_the_same_calls(log: list[e.RunEvent]) -> None:
    state, wanted = fold(log), left_by(log)
    ids = [call.tool_call_id for call in wanted]
    chunks = payloads(ChatMapping(), log)
    cut = any("error" in chunk for chunk in chunks)
    streamed = [
        call for chunk in chunks for one in chunk.get("choices", ()) for call in one["delta"].get("tool_calls", ())
    ]
    assert [call["id"] for call in streamed] == ([] if cut else ids)
    assert [call["index"] for call in streamed] == list(range(len(streamed)))
    if not cut and state.status == "complete":
        assert (chunks[-1]["choices"][0]["finish_reason"] == "tool_calls") == bool(wanted)
    events = payloads(ResponsesMapping(ABOUT), log)
    items = [item for item in events[-1]["response"]["output"] if item["type"] == "function_call"]
    assert [item["call_id"] for item in items] == ids
    done = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    assert [event["arguments"] for event in done] == [item["arguments"] for item in items]
    stored = output_items(RUN, state.message_parts, state.status)
    assert [item["call_id"] for item in stored if item["type"] == "function_call"] == ids
    agui = payloads(AguiMapping(thread_id=THREAD, run_id=RUN, history=[ASK]), log)
    if state.status == "complete":
        assert agui[-1]["outcome"].get("pendingToolCallIds", []) == ids
    page = payloads(AiSdkMapping(), log)
    ends = {"tool-output-available", "tool-output-error"}
    finished = {chunk["toolCallId"] for chunk in page if chunk["type"] in ends}
    asked = dict.fromkeys(chunk["toolCallId"] for chunk in page if chunk["type"] == "tool-input-available")
    if state.status == "complete":
        assert [call for call in asked if call not in finished] == ids
        assert (page[-1]["finishReason"] == "tool-calls") >= bool(ids)


@given(log=run_logs())
def test_what_is_sent_back_is_what_was_called(log: list[e.RunEvent]) -> None:
    state, wanted = fold(log), left_by(log)
    if not wanted:
        return
    whole = completion(
        run_id=RUN, created_at=AT, model="m", status=state.status, finish_reason="stop", parts=state.message_parts,
        usage=state.usage,
    )  # fmt: skip
    message = whole["choices"][0]["message"]
    told = [{"role": "tool", "tool_call_id": call["id"], "content": call["id"]} for call in message["tool_calls"]]
    chat = read_chat_messages([{"role": "user", "content": "hi"}, message, *told])
    turns = ToolTurns()
    output = output_items(RUN, state.message_parts, state.status)
    back = [{"type": "function_call_output", "call_id": call.tool_call_id, "output": "x"} for call in wanted]
    read_input(turns, [{"role": "user", "content": "hi"}, *output, *back])
    mapping = AguiMapping(thread_id=THREAD, run_id=RUN, history=[ASK])
    payloads(mapping, log)
    prelude = [msgspec.json.decode(frame.data) for frame in mapping.prelude(state)]
    seen = next(event["messages"] for event in prelude if event["type"] == "MESSAGES_SNAPSHOT")
    results = [
        {"id": f"r{call.tool_call_id}", "role": "tool", "toolCallId": call.tool_call_id, "content": "x"}
        for call in wanted
    ]
    done = {"state": "output-available", "output": "x"}
    parts = [
        {"type": f"tool-{call.name}", "toolCallId": call.tool_call_id, "input": call.input, **done} for call in wanted
    ]
    page = ai_sdk_input.read_turns(
        msgspec.convert([{"role": "assistant", "parts": parts}], list[ai_sdk_input.UiMessage])
    )
    for items in (chat, turns.items, read_turns(msgspec.convert([*seen, *results], list[AguiMessage])), page):
        calls = [call for item in items if item.role == "assistant" for call in pending_calls(list(item.parts))]
        assert [(call.tool_call_id, call.name, call.input) for call in calls if call.tool_call_id in _ids(wanted)] == [
            (call.tool_call_id, call.name, call.input) for call in wanted
        ]
        assert items[-1].role == "tool"
        assert _ids(wanted) <= _ids([part for part in items[-1].parts if isinstance(part, ToolCallPart)])


def _ids(calls: list[ToolCallPart]) -> set[str]:
    return {call.tool_call_id for call in calls}
