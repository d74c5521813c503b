"""Putting tool calls together from the pieces that providers send."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One tool call that the model asked for. `problem` says why `input` could not be read, as a sentence; `input` is then
    the arguments' text as it came."""

    tool_call_id: str
    name: str
    input: Any
    problem: str | None = None


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class ToolCallAssembler:
    """Feed it every entry of `delta.tool_calls`; ask for the calls when the stream has ended.

    What it copes with: arguments in many pieces by `index` (OpenAI), interleaved between calls; whole calls in one entry,
    all with index 0 or without one (Gemini, Ollama); an id that is empty or repeated on continuation; the name repeated on
    continuation; arguments as an object instead of a text; no id at all.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Take one entry; what is not understood of it is left out."""
        function = entry.get("function")
        function = function if isinstance(function, Mapping) else {}
        index, call_id, name = entry.get("index"), _text(entry.get("id")), _text(function.get("name"))
        call = self._find(index if isinstance(index, int) else None, call_id, name)
        if call is None:
            call = _Call(index if isinstance(index, int) else None, call_id, name)
            self._calls.append(call)
        call.id = call.id or call_id
        call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        elif arguments is not None:
            call.arguments.append(json.dumps(arguments, ensure_ascii=False))

    def _find(self, index: int | None, call_id: str, name: str) -> _Call | None:
        """The call that this entry continues, None when it begins another."""
        if call_id:
            for call in self._calls:
                if call.id == call_id:
                    return call
        if index is not None:
            same = [call for call in self._calls if call.index == index]
            # An index seen before with another id is another call: some providers number every call 0.
            return same[-1] if same and not (call_id and same[-1].id) else None
        if not self._calls or call_id:
            return None
        last = self._calls[-1]
        return None if name and (name != last.name or _is_whole(last)) else last

    def requests(self) -> list[ToolRequest]:
        """All calls in the order in which they began, with their arguments read."""
        return [_request(number, call) for number, call in enumerate(self._calls)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_whole(call: _Call) -> bool:
    try:
        json.loads("".join(call.arguments))
    except ValueError:
        return False
    return True


def _request(number: int, call: _Call) -> ToolRequest:
    text = "".join(call.arguments).strip()
    call_id = call.id or f"call_{number}"
    if not text:
        return ToolRequest(call_id, call.name, {})
    try:
        value = json.loads(text)
    except ValueError as error:
        return ToolRequest(call_id, call.name, text, f"The arguments are no JSON: {error}.")
    if not isinstance(value, dict):
        return ToolRequest(call_id, call.name, text, "The arguments are no JSON object.")
    return ToolRequest(call_id, call.name, value)
