"""What a model is sent, before it is fitted: the history, the message to answer, and what the run has done since."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from contracts.parts import Part, TextPart, ToolCallPart
from contracts.run_state import RunState

from inference.agents.domain.context import Entry, ToolUse
from inference.domain.hand_overs import last_hand_over
from inference.domain.plan import Lane
from inference.domain.run_input import StoredMessage
from inference.tools.domain.output import as_text


def system_of(messages: Sequence[StoredMessage]) -> str:
    """The system messages as one text: what the user, or the client that sent the message, wants of every answer."""
    return "\n\n".join(message.content for message in messages if message.role == "system")


def history_of(messages: Sequence[StoredMessage]) -> list[Entry]:
    """What was said before the user's last message, without the system messages."""
    said, last = _said(messages)
    return [entry for message in said[:last] for entry in _entries_of_message(message)]


def question_of(messages: Sequence[StoredMessage]) -> list[Entry]:
    """The message to answer: the user's last one. Where a client has carried out what was asked of it since, that follows."""
    said, last = _said(messages)
    return [entry for message in said[last:] for entry in _entries_of_message(message)] or [Entry(role="user", text="")]


def _said(messages: Sequence[StoredMessage]) -> tuple[list[StoredMessage], int]:
    """All but the system messages, and where the user's last one stands among them."""
    said = [message for message in messages if message.role != "system"]
    return said, next((at for at in reversed(range(len(said))) if said[at].role == "user"), 0)


def _entries_of_message(message: StoredMessage) -> list[Entry]:
    if message.role == "assistant" and message.parts:
        return entries_of((part, 0) for part in message.parts)
    return [Entry(role="assistant" if message.role == "assistant" else "user", text=message.content)]


def entries_of(parts: Iterable[tuple[Part, int]]) -> list[Entry]:
    """An assistant's parts, each with the model step that it came from (0: not known), as the messages that they were: what
    it said, then what it asked for, then what it got. A text after calls begins another message."""
    writing = _Writing()
    for part, step in parts:
        writing.add(part, step)
    return writing.entries()


class _Writing:
    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._text: list[str] = []
        self._calls: list[ToolCallPart] = []
        self._step = 0

    def add(self, part: Part, step: int) -> None:
        if step != self._step or (self._calls and isinstance(part, TextPart)):
            self.flush()
        self._step = step
        if isinstance(part, TextPart):
            self._text.append(part.text)
        elif isinstance(part, ToolCallPart):
            self._calls.append(part)

    def say(self, text: str) -> None:
        """The user, in between."""
        self.flush()
        self._entries.append(Entry(role="user", text=text))

    def flush(self) -> None:
        text, calls = "".join(self._text), self._calls
        self._text, self._calls = [], []
        if text or calls:
            uses = tuple(
                ToolUse(tool_call_id=call.tool_call_id, name=call.name, arguments=arguments_text(call.input))
                for call in calls
            )
            self._entries.append(Entry(role="assistant", text=text, calls=uses))
        self._entries.extend(
            Entry(role="tool", text=result_text(call), tool_call_id=call.tool_call_id)
            for call in calls
            if call.state in ("completed", "error")
        )

    def entries(self) -> list[Entry]:
        self.flush()
        return self._entries


def arguments_text(arguments: Any) -> str:
    """Arguments as the JSON text of an object, whatever the model had sent: providers refuse to read back anything else."""
    return json.dumps(arguments if isinstance(arguments, dict) else {"unreadable": arguments}, ensure_ascii=False)


def result_text(call: ToolCallPart) -> str:
    """A result as the model reads it."""
    return as_text(call.output) if call.state == "completed" else f"Error: {call.error or 'the tool failed'}"


def turn_of(state: RunState, lane: Lane, question: Sequence[Entry], *, without_step: int | None = None) -> list[Entry]:
    """The message to answer and what the lane has done since. `without_step`: the step that is being made, of which an
    earlier attempt may have written something.

    A member of a panel hears what others have said as somebody else's words, not as its own. Who takes over from another agent gets what that one said and the task, not its tool calls: it may not have those tools.
    """
    handed = last_hand_over(state) if lane.member is None else None
    writing = _Writing()
    steers = sorted(state.steers, key=lambda steer: steer.before_part)
    for number in sorted(state.parts):
        part = state.parts[number]
        while steers and steers[0].before_part <= number:
            writing.say(steers.pop(0).text)
        if without_step is not None and part.step == without_step:
            continue
        if not lane.has(part.agent):
            if lane.hears and isinstance(part.value, TextPart):
                writing.say(f"{part.agent} said: {part.value.text}")
            continue
        if handed is None or number > handed[0] or isinstance(part.value, TextPart):
            writing.add(part.value, part.step)
        if handed is not None and number == handed[0]:
            writing.say(f"{part.agent or 'Another agent'} hands over to you. Your task: {handed[2]}")
    for steer in steers:
        writing.say(steer.text)
    return [*question, *writing.entries()]
