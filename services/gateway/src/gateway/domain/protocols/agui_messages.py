"""AG-UI: the parts of a run as the conversation's messages.

A text part is an assistant message of its own; a tool call belongs to the assistant message before it (of the same agent),
or to one without text; a result is a tool message behind it. Ids come from part numbers, so the messages of a snapshot are
the ones that the stream opened.
"""

from collections.abc import Iterable
from typing import Any

from contracts.parts import Part, ReasoningPart, TextPart, ToolCallPart

from gateway.domain.protocols.json_text import json_text, result_text


def part_id(message_id: str, number: int) -> str:
    """The id of the AG-UI message that a part opens."""
    return f"{message_id}-{number}"


class Placement:
    """Which assistant message the next part belongs to, walking the parts in order."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._current: tuple[str, str | None] | None = None

    def place(self, number: int, part: Part, agent: str | None) -> str:
        """The id of the message that this part is in, or is."""
        own = part_id(self._message_id, number)
        if isinstance(part, TextPart):
            self._current = (own, agent)
        elif isinstance(part, ToolCallPart):
            if self._current is None or self._current[1] != agent:
                self._current = (own, agent)
            return self._current[0]
        return own


def run_messages(message_id: str, parts: Iterable[tuple[int, Part, str | None]]) -> list[dict[str, Any]]:
    """The messages of a run; `parts` are (number, part, agent) in order. Sources are no messages."""
    placement = Placement(message_id)
    messages: list[dict[str, Any]] = []
    assistants: dict[str, dict[str, Any]] = {}
    results: dict[str, list[dict[str, Any]]] = {}
    for number, part, agent in parts:
        identity = placement.place(number, part, agent)
        match part:
            case TextPart():
                assistants[identity] = _owned({"id": identity, "role": "assistant", "content": part.text}, agent)
                messages.append(assistants[identity])
            case ReasoningPart():
                messages.append(_owned({"id": identity, "role": "reasoning", "content": part.text}, agent))
            case ToolCallPart():
                if identity not in assistants:
                    assistants[identity] = _owned({"id": identity, "role": "assistant"}, agent)
                    messages.append(assistants[identity])
                function = {"name": part.name, "arguments": json_text(part.input)}
                call = {"id": part.tool_call_id, "type": "function", "function": function}
                assistants[identity].setdefault("toolCalls", []).append(call)
                if part.state in ("completed", "error"):
                    results.setdefault(identity, []).append(tool_message(part))
            case _:
                pass
    return [item for message in messages for item in (message, *results.get(message["id"], []))]


def tool_message(call: ToolCallPart) -> dict[str, Any]:
    """What a tool returned, or why it did not."""
    message = {
        "id": result_id(call.tool_call_id),
        "role": "tool",
        "toolCallId": call.tool_call_id,
        "content": tool_content(call),
    }
    if call.state == "error":
        message["error"] = tool_content(call)
    return message


def result_id(tool_call_id: str) -> str:
    """The id of the tool message that answers a call."""
    return f"{tool_call_id}-result"


def tool_content(call: ToolCallPart) -> str:
    """A tool's output or error as the text of its message."""
    return call.error or "The tool failed." if call.state == "error" else result_text(call.output)


def _owned(message: dict[str, Any], agent: str | None) -> dict[str, Any]:
    if agent is not None:
        message["subagentRunId"] = agent
    return message
