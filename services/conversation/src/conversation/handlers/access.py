"""The only ways to somebody's thread or run: ownership included."""

from contracts.codes import Code
from contracts.ids import RUN, THREAD, USER, InvalidIdError, check_id

from conversation.domain.entities import Run, Thread
from conversation.domain.refusals import RefusedError, known_id, not_found
from conversation.ports import Parts, Writes


def check_user(user_id: str) -> str:
    """The caller's id; a malformed one is the gateway's fault and not a person's."""
    try:
        return check_id(USER, user_id)
    except InvalidIdError:
        raise RefusedError(Code.BODY_INVALID, "The user id is malformed.") from None


async def access_thread(source: "Parts | Writes", user_id: str, thread_id: str) -> Thread:
    """The user's own thread, from the records or within a transaction."""
    known_id(THREAD, thread_id)
    reader = source.records if isinstance(source, Parts) else source
    thread = await reader.thread(check_user(user_id), thread_id)
    if thread is None:
        raise not_found(THREAD)
    return thread


async def access_run(parts: Parts, user_id: str, run_id: str) -> Run:
    """A run in one of the user's own threads."""
    run = await parts.records.run(known_id(RUN, run_id))
    if run is None or run.user_id != check_user(user_id):
        raise not_found(RUN)
    return run
