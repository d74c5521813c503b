"""The only ways to a thread or a run, for whoever may: what the caller's role allows included (docs/sharing.md)."""

from typing import Protocol

from contracts.codes import Code
from contracts.ids import RUN, THREAD, USER, InvalidIdError, check_id

from conversation.domain.entities import Run, Thread
from conversation.domain.members import Need, check_role
from conversation.domain.refusals import RefusedError, known_id, not_found
from conversation.ports import Parts


class Threads(Protocol):
    """Where threads are read: the records, or a transaction."""

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        """The thread, if the user is in it."""


def check_user(user_id: str) -> str:
    """The caller's id; a malformed one is the gateway's fault and not a person's."""
    try:
        return check_id(USER, user_id)
    except InvalidIdError:
        raise RefusedError(Code.BODY_INVALID, "The user id is malformed.") from None


async def access_thread(source: "Parts | Threads", user_id: str, thread_id: str, need: Need = "read") -> Thread:
    """A thread that the user is in, with a role that is enough for what is needed: THREAD_NOT_FOUND for a stranger, FORBIDDEN
    for a member whose role is not. From the records or within a transaction."""
    known_id(THREAD, thread_id)
    reader = source.records if isinstance(source, Parts) else source
    thread = await reader.thread(check_user(user_id), thread_id)
    if thread is None:
        raise not_found(THREAD)
    check_role(thread, user_id, need)
    return thread


async def access_run(parts: Parts, user_id: str, run_id: str, need: Need = "read") -> Run:
    """A run in a thread that the user is in, by the same rules; RUN_NOT_FOUND for a stranger."""
    check_user(user_id)
    run = await parts.records.run(known_id(RUN, run_id))
    thread = None if run is None else await parts.records.thread(user_id, run.thread_id)
    if run is None or thread is None:
        raise not_found(RUN)
    check_role(thread, user_id, need)
    return run
