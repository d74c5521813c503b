"""Delete a schedule."""

from contracts.codes import Code
from contracts.ids import SCHEDULE, InvalidIdError, check_id

from conversation.domain.refusals import RefusedError
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def delete_schedule(parts: Parts, user_id: str, thread_id: str, schedule_id: str) -> None:
    """Its timer may still fire once, and finds nothing to do."""
    none = RefusedError(Code.SCHEDULE_NOT_FOUND, "There is no such schedule in this thread.")
    try:
        check_id(SCHEDULE, schedule_id)
    except InvalidIdError:
        raise none from None

    async def body(writes: Writes) -> None:
        thread = await access_thread(writes, user_id, thread_id, "write")
        if not await writes.delete_schedule(thread.id, schedule_id):
            raise none

    await parts.records.transaction(body)
