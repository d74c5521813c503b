"""Histories with tool calls, as OpenAI requests bring them: what may follow what, in OpenAI's words where it may not."""

from collections.abc import Mapping
from typing import Any, Final

from contracts.parts import ToolCallPart

from gateway.domain.records import Earlier
from gateway.domain.tool_turns import ToolTurns, call_of
from gateway.entrypoints.openai_errors import ParameterRefusal, unsupported
from gateway.entrypoints.openai_input import read_items, read_message, read_text

ID_CHARACTERS: Final = 200


def read_chat_messages(given: object) -> list[Earlier]:
    """The `messages` of chat.completions, results of one answer's calls as one message; raises Refusal."""
    turns = ToolTurns()
    where = "messages"
    for where, item in read_items(given, "messages"):
        if item.get("role") == "tool":
            _chat_result(turns, item, where)
            continue
        _check_answered(turns, where)
        role, text = read_message(item, where, besides=("tool_calls",) if item.get("role") == "assistant" else ())
        turns.say(role, text)
        calls = item.get("tool_calls") or []
        if not isinstance(calls, list):
            raise ParameterRefusal(f"{where}.tool_calls", f"{where}.tool_calls must be a list.", code="invalid_type")
        for index, call in enumerate(calls):
            place = f"{where}.tool_calls[{index}]"
            if not turns.call(_chat_call(call, place)):
                raise ParameterRefusal(f"{place}.id", f"{place}.id: another call has this id.", code="invalid_value")
    _check_answered(turns, where)
    return turns.items


def _check_answered(turns: ToolTurns, where: str) -> None:
    if turns.open_calls:
        raise ParameterRefusal(
            where,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {', '.join(turns.open_calls)[:400]}",
            code="invalid_value",
        )


def _chat_call(call: object, where: str) -> ToolCallPart:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or call.get("type", "function") != "function" or not isinstance(function, dict):
        raise ParameterRefusal(where, f"{where}: only calls of functions are supported here.")
    for name, value in (*call.items(), *((f"function.{name}", value) for name, value in function.items())):
        if name not in ("id", "type", "index", "function", "function.name", "function.arguments") and value is not None:
            raise unsupported(f"{where}.{str(name)[:80]}")
    return call_of(
        read_id(call, "id", where),
        read_field(function, "name", f"{where}.function"),
        read_field(function, "arguments", f"{where}.function"),
    )


def _chat_result(turns: ToolTurns, item: Mapping[str, Any], where: str) -> None:
    if not turns.open_calls:
        raise ParameterRefusal(
            where,
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
            code="invalid_value",
        )
    call_id = read_id(item, "tool_call_id", where)
    name = turns.name_of(call_id)
    if name is None:
        raise ParameterRefusal(
            f"{where}.tool_call_id",
            f"Invalid parameter: 'tool_call_id' of {call_id[:80]!r} not found in 'tool_calls' of previous message.",
            code="invalid_value",
        )
    for field, value in item.items():
        if field == "name" and value == name:
            continue
        if field not in ("role", "content", "tool_call_id") and value is not None:
            raise unsupported(f"{where}.{str(field)[:80]}")
    turns.result(call_id, read_text(item.get("content"), where))


def read_id(item: Mapping[str, Any], name: str, where: str) -> str:
    """The id of a call; raises Refusal."""
    value = read_field(item, name, where)
    if not 0 < len(value) <= ID_CHARACTERS:
        raise ParameterRefusal(
            f"{where}.{name}", f"{where}.{name} has 1 to {ID_CHARACTERS} characters.", code="invalid_value"
        )
    return value


def read_field(item: Mapping[str, Any], name: str, where: str) -> str:
    """A field that must be a text; raises Refusal."""
    value = item.get(name)
    if not isinstance(value, str):
        code = "missing_required_parameter" if value is None else "invalid_type"
        raise ParameterRefusal(f"{where}.{name}", f"{where}.{name} must be a string.", code=code)
    return value
