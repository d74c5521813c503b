"""The only ways to a thread or a run, for whoever may: what the caller's role allows included (docs/sharing.md)."""

from typing import Protocol

from contracts.codes import Code
from contracts.ids import RUN, THREAD, USER, InvalidIdError, check_id

from conversation.domain.acceptance import Opening
from conversation.domain.entities import Message, Run, Thread
from conversation.domain.invitations import Invitation, hash_of, own_invitation, refusal_by
from conversation.domain.members import Need, check_role
from conversation.domain.refusals import RefusedError, known_id, not_found
from conversation.ports import Parts, Writes
from conversation.sharing_ports import ShareWrites


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


async def access_by_token(writes: ShareWrites, user_id: str, token: str) -> tuple[Invitation, Thread]:
    """The invitation of a token and its thread, for somebody who is to be let in. INVITATION_INVALID for a token of which nothing
    is known, whatever it looks like, for one whose invitation is gone, and for the owner. Whether the invitation is still open is
    the caller's to check."""
    token_hash = hash_of(token)
    invitation = await writes.invitation(token_hash)
    if invitation is None:
        raise refusal_by(await writes.invitation_trace(token_hash))
    thread = await writes.any_thread(invitation.thread_id)
    if thread is None:
        raise refusal_by(None)
    if thread.user_id == user_id:
        raise own_invitation()
    return invitation, thread


async def open_thread(writes: Writes, user_id: str, thread_id: str, key: str) -> Opening:
    """The thread with what else an acceptance begins with, for whoever may write in it, by the same rules."""
    known_id(THREAD, thread_id)
    opening = await writes.opening(check_user(user_id), thread_id, key)
    if opening is None:
        raise not_found(THREAD)
    check_role(opening.thread, user_id, "write")
    return opening


async def access_run(parts: Parts, user_id: str, run_id: str, need: Need = "read") -> tuple[Run, Message | None]:
    """A run in a thread that the user is in, with its answer, by the same rules; RUN_NOT_FOUND for a stranger."""
    found = await parts.records.watched(check_user(user_id), known_id(RUN, run_id))
    if found is None:
        raise not_found(RUN)
    check_role(found.thread, user_id, need)
    return found.run, found.answer
