"""What an internal service puts into a thread, as a message of the thread."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from contracts.codes import Code
from contracts.commands import AppendToThread
from contracts.ids import MESSAGE
from contracts.parts import Part, TextPart, ToolCallPart
from contracts.times import rfc3339

from conversation.domain.entities import Message, Thread
from conversation.domain.refusals import RefusedError

NAME_CHARACTERS: Final = 100
DATA_BYTES: Final = 64 * 1024


def check_append(command: AppendToThread, key: str) -> None:
    """What can be wrong with it apart from its text and its thread. Raises RefusedError."""
    if not key:
        raise RefusedError(
            Code.IDEMPOTENCY_KEY_INVALID, "The command has no name; send it with the header Nats-Msg-Id."
        )
    for name, text in (("service", command.service), ("event", command.event)):
        if len(text) > NAME_CHARACTERS or not text.isprintable():
            raise RefusedError(Code.BODY_INVALID, f"`{name}` has at most {NAME_CHARACTERS} printable characters.")
    if not command.service:
        raise RefusedError(Code.BODY_INVALID, "`service` is empty; say who appends.")
    if _size(command.data) > DATA_BYTES:
        raise RefusedError(
            Code.BODY_INVALID, f"`data` is larger than {DATA_BYTES // 1024} KiB of JSON; put a link there instead."
        )


def appended_message(
    command: AppendToThread, thread: Thread, *, now: datetime, new_id: Callable[[str], str]
) -> Message:
    """The message that an append without `answer` becomes, behind the thread's last one. Its event is a tool call that was
    never asked for: a completed part with the data as its output, so that every viewer can show it."""
    identity = new_id(MESSAGE)
    at = rfc3339(now)
    told: list[Part] = [
        ToolCallPart(
            tool_call_id=identity,
            name=command.event or command.service,
            state="completed",
            output=command.data,
            started_at=at,
            ended_at=at,
        ),
        TextPart(text=command.text),
    ]
    return Message(
        id=identity,
        thread_id=thread.id,
        user_id=thread.user_id,
        position=thread.length + 1,
        role="tool",
        status="complete",
        created_at=now,
        content=command.text,
        parts=tuple(told),
        parent_message_id=thread.head,
    )


def next_appended(last: Message | None, behind: Sequence[Message]) -> Message | None:
    """Of the messages behind another (behind none: at the thread's beginning), the one that an internal service appended, or
    the answer to what it appended; None where what follows is a person's."""
    asked = last is not None and bool(last.service)
    found = [message for message in behind if message.is_appended or (asked and message.role == "assistant")]
    return max(found, key=lambda message: message.position, default=None)


def _size(data: Any) -> int:
    return 0 if data is None else len(msgspec.json.encode(data))
