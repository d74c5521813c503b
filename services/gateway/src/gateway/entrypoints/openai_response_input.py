"""The `input` of responses: messages, calls of the client's functions and their results; and what of it is stored, as items again."""

from collections.abc import Mapping
from typing import Any

from contracts.client_tools import is_results
from contracts.parts import TextPart, ToolCallPart

from gateway.domain.protocols.json_text import json_text, result_text
from gateway.domain.protocols.openai_response_object import SERVER_LABEL
from gateway.domain.records import Message
from gateway.domain.stored_log import parts_of
from gateway.domain.tool_turns import ToolTurns, call_of
from gateway.entrypoints.openai_errors import ParameterRefusal, unsupported
from gateway.entrypoints.openai_input import read_items, read_message, read_text
from gateway.entrypoints.openai_turns import read_field, read_id


def read_input(turns: ToolTurns, given: object) -> None:
    """Read the input into `turns`, which may expect results already; raises Refusal."""
    if isinstance(given, str):
        _check_answered(turns)
        turns.say("user", given)
        return
    for where, item in read_items(given, "input"):
        match item.get("type", "message"):
            case "function_call":
                _call(turns, item, where)
            case "function_call_output":
                _output(turns, item, where)
            case "mcp_call" if item.get("server_label") == SERVER_LABEL:
                _server_call(turns, item, where)
            case "reasoning":
                # A client sends all of an answer back. No provider here takes its reasoning again.
                continue
            case _:
                _check_answered(turns)
                turns.say(*read_message(item, where))
    _check_answered(turns)


def _check_answered(turns: ToolTurns) -> None:
    if turns.open_calls:
        raise ParameterRefusal(
            "input", f"No tool output found for function call {turns.open_calls[0][:80]}.", code="invalid_value"
        )


def _call(turns: ToolTurns, item: Mapping[str, Any], where: str) -> None:
    _only(item, {"type", "id", "call_id", "name", "arguments", "status"}, where)
    call = call_of(
        read_id(item, "call_id", where), read_field(item, "name", where), read_field(item, "arguments", where)
    )
    if not turns.call(call):
        raise ParameterRefusal(f"{where}.call_id", f"{where}: another call has this id.", code="invalid_value")


def _output(turns: ToolTurns, item: Mapping[str, Any], where: str) -> None:
    _only(item, {"type", "id", "call_id", "output", "status"}, where)
    call_id = read_id(item, "call_id", where)
    if turns.name_of(call_id) is None:
        raise ParameterRefusal(
            f"{where}.call_id",
            f"No tool call found for function call output with call_id {call_id[:80]}.",
            code="invalid_value",
        )
    turns.result(call_id, read_text(item.get("output"), where))


def _server_call(turns: ToolTurns, item: Mapping[str, Any], where: str) -> None:
    """A call of the agent's own tool, with what came of it, as an earlier response said it."""
    call = call_of(read_id(item, "id", where), read_field(item, "name", where), read_field(item, "arguments", where))
    output = item.get("output")
    if isinstance(output, str):
        call.state, call.output = "completed", output
    else:
        call.state, call.error = "error", "The tool failed."
    turns.call(call)


def _only(item: Mapping[str, Any], known: set[str], where: str) -> None:
    for name, value in item.items():
        if name not in known and value is not None:
            raise unsupported(f"{where}.{str(name)[:80]}")


def input_items(message: Message) -> list[dict[str, Any]]:
    """A stored message as the items that it came as."""
    parts = parts_of(message)
    if is_results(message.role, parts):
        return [
            {
                "id": f"{message.id}_{number}",
                "type": "function_call_output",
                "call_id": part.tool_call_id,
                "output": result_text(part.output),
                "status": "completed",
            }
            for number, part in enumerate(parts)
            if isinstance(part, ToolCallPart)
        ]
    if message.role != "assistant":
        # What a service appended is no call's result.
        role = "system" if message.role == "tool" else message.role
        return [_message_item(message.id, role, {"type": "input_text", "text": message.content})]
    items: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        identity = message.id if not number else f"{message.id}_{number}"
        if isinstance(part, TextPart):
            content = {"type": "output_text", "text": part.text, "annotations": []}
            items.append(_message_item(identity, "assistant", content))
        elif isinstance(part, ToolCallPart) and part.state == "pending":
            items.append(
                {
                    "id": identity,
                    "type": "function_call",
                    "call_id": part.tool_call_id,
                    "name": part.name,
                    "arguments": json_text(part.input),
                    "status": "completed",
                }
            )
    return items


def _message_item(identity: str, role: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"id": identity, "type": "message", "role": role, "status": "completed", "content": [content]}
