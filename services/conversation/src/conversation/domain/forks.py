"""Copies of messages for a thread that forks from another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from contracts.codes import Code
from contracts.ids import MESSAGE, THREAD

from conversation.domain.entities import OPEN, Message, Thread
from conversation.domain.refusals import RefusedError

MOST = 1_000
"""Messages that a fork may begin with."""


def check_forkable(messages: Sequence[Message]) -> None:
    """An answer that is still being written cannot be copied, nor can more messages than one transaction takes."""
    if any(message.status in OPEN for message in messages):
        raise RefusedError(
            Code.THREAD_BUSY, "An answer before that message is still being written; fork when it has ended."
        )
    if len(messages) > MOST:
        raise RefusedError(
            Code.LIMIT_REACHED, f"There are {len(messages)} messages before that one; at most {MOST} are copied."
        )


def plan_fork(
    thread: Thread,
    messages: Sequence[Message],
    user_id: str,
    title: str,
    *,
    now: datetime,
    new_id: Callable[[str], str],
) -> tuple[Thread, list[Message]]:
    """A new thread of the user's with copies of the messages, oldest first. A copy belongs to no run: what it cost was paid, and
    its log is the other thread's."""
    fork_id, copies = new_id(THREAD), list[Message]()
    for message in messages:
        copies.append(
            replace(
                message,
                id=new_id(MESSAGE),
                thread_id=fork_id,
                user_id=user_id if message.role == "user" else message.user_id,
                position=len(copies) + 1,
                run_id="",
                usage=None,
                cost_microusd=None,
                parent_message_id=copies[-1].id if copies else "",
            )
        )
    fork = Thread(
        id=fork_id,
        user_id=user_id,
        created_at=now,
        updated_at=now,
        title=title or thread.title,
        model=thread.model,
        agent=thread.agent,
        tags=thread.tags,
        on_busy=thread.on_busy,
        kind=thread.kind,
        length=len(copies),
        head=copies[-1].id if copies else "",
    )
    return fork, copies
