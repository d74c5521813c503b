"""What an internal service puts into a thread, as a message of the thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a message stands that an internal service appended, or the answer to one."""

    id: str
    parent_id: str
    position: int


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


def last_appended(last_id: str, head: str, appended: Sequence[Appended]) -> str:
    """Where one comes to from a message (empty: from the thread's beginning) along what internal services appended and the
    answers to it, the newest of each place and not beyond the head; the message itself where what follows is a person's."""
    newest: dict[str, Appended] = {}
    for one in appended:
        known = newest.get(one.parent_id)
        if known is None or known.position < one.position:
            newest[one.parent_id] = one
    # A position is above that of the parent, so this ends.
    while last_id != head and last_id in newest:
        last_id = newest[last_id].id
    return last_id


def _size(data: Any) -> int:
    return 0 if data is None else len(msgspec.json.encode(data))
