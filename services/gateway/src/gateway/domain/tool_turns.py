"""A history that a client brings, with calls of its tools and their results: each result finds its call, and each call must have
one before anybody else speaks."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec
from contracts.parts import Part, TextPart, ToolCallPart

from gateway.domain.protocols.json_text import result_text
from gateway.domain.records import Earlier


class ToolTurns:
    """Gathers messages in their order. `items` is what is stored: an answer with its calls is one message, their results are the
    next one."""

    def __init__(self) -> None:
        self.items: list[Earlier] = []
        self._open: dict[str, ToolCallPart] = {}

    @property
    def open_calls(self) -> list[str]:
        """The ids of the calls that have no result yet."""
        return list(self._open)

    def say(self, role: str, text: str, stored_id: str = "") -> None:
        """A message of text; `stored_id` where it is one of ours."""
        self.items.append(Earlier(role, text, stored_id))

    def forget_open(self) -> None:
        """Whoever speaks next does not wait for results."""
        self._open.clear()

    def call(self, call: ToolCallPart) -> bool:
        """A call that the assistant makes in what it is saying; False where the id is in use already."""
        if call.tool_call_id in self._open:
            return False
        if not self.items or self.items[-1].role != "assistant":
            self.items.append(Earlier("assistant", ""))
        last = self.items[-1]
        said: tuple[Part, ...] = last.parts or ((TextPart(text=last.content),) if last.content else ())
        self.items[-1] = replace(last, parts=(*said, call))
        if call.state == "pending":
            self._open[call.tool_call_id] = call
        return True

    def name_of(self, call_id: str) -> str | None:
        """The tool that was called, None where no such call waits for its result."""
        call = self._open.get(call_id)
        return None if call is None else call.name

    def result(self, call_id: str, output: str, *, error: str | None = None) -> None:
        """What came of an open call: an output, or why it failed."""
        result = result_of(self._open.pop(call_id), output, error)
        if not self.items or self.items[-1].role != "tool":
            self.items.append(Earlier("tool", ""))
        last = self.items[-1]
        content = f"{last.content}\n{output}" if last.parts else output
        self.items[-1] = replace(last, content=content, parts=(*last.parts, result))

    def expect(self, call: ToolCallPart) -> None:
        """A call that was stored before, whose result is still to come."""
        self._open[call.tool_call_id] = call


def result_of(call: ToolCallPart, output: str, error: str | None = None) -> ToolCallPart:
    """The end of a call that was left to the client."""
    if error:
        return ToolCallPart(tool_call_id=call.tool_call_id, name=call.name, state="error", error=error)
    return ToolCallPart(tool_call_id=call.tool_call_id, name=call.name, state="completed", output=output)


def call_of(call_id: str, name: str, arguments: str) -> ToolCallPart:
    """A call as it was, from the text of its arguments: an object as such, anything else as the text."""
    try:
        value = msgspec.json.decode(arguments) if arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        value = arguments
    return ToolCallPart(
        tool_call_id=call_id, name=name, state="pending", input=value if isinstance(value, dict) else arguments
    )


def pending_calls(parts: list[Part]) -> list[ToolCallPart]:
    """The calls of a stored answer that were left to the client."""
    return [part for part in parts if isinstance(part, ToolCallPart) and part.state == "pending"]


def with_results(parts: Sequence[Part], results: Sequence[Part]) -> list[Part]:
    """An answer's parts with what came of its pending calls."""
    given = {result.tool_call_id: result for result in results if isinstance(result, ToolCallPart)}
    filled: list[Part] = []
    for part in parts:
        result = given.get(part.tool_call_id) if isinstance(part, ToolCallPart) and part.state == "pending" else None
        if isinstance(part, ToolCallPart) and result is not None:
            part = msgspec.structs.replace(part, state=result.state, output=result.output, error=result.error)
        filled.append(part)
    return filled


def results_message(results: Sequence[ToolCallPart]) -> Earlier:
    """Results of one answer's calls as the message that is stored of them."""
    text = "\n".join(result_text(result.output) or result.error or "" for result in results)
    return Earlier("tool", text, parts=tuple(results))


def only_open(items: Sequence[Earlier], open_calls: Collection[str]) -> list[Earlier]:
    """The same without results that the stored answer behind them has already: those of the agent's own tools."""
    last = next((at for at in reversed(range(len(items))) if items[at].stored_id), len(items))
    kept = list(items[: last + 1])
    for item in items[last + 1 :]:
        if item.role == "tool":
            parts = [part for part in results_in(item) if part.tool_call_id in open_calls]
            if not parts:
                continue
            item = results_message(parts)
        kept.append(item)
    return kept


def settled(items: Sequence[Earlier]) -> list[Earlier]:
    """The same with results inside of the calls that they are of, where those are: nothing of them is stored by itself then."""
    kept: list[Earlier] = []
    for item in items:
        results = results_in(item)
        if results and kept and kept[-1].role == "assistant":
            kept[-1] = replace(kept[-1], parts=tuple(with_results(kept[-1].parts, results)))
        else:
            kept.append(item)
    return kept


def results_in(message: Earlier) -> tuple[ToolCallPart, ...]:
    """What came of tool calls; nothing where the message is not that."""
    if message.role != "tool":
        return ()
    return tuple(part for part in message.parts if isinstance(part, ToolCallPart))
