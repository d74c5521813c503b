"""Delete a schedule."""

from contracts.ids import SCHEDULE, InvalidIdError, check_id

from conversation.domain.schedules import unknown_schedule
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def delete_schedule(parts: Parts, user_id: str, thread_id: str, schedule_id: str) -> None:
    """Its timer may still fire once, and finds nothing to do."""
    try:
        check_id(SCHEDULE, schedule_id)
    except InvalidIdError:
        raise unknown_schedule() from None

    async def body(writes: Writes) -> None:
        thread = await access_thread(writes, user_id, thread_id, "write")
        if not await writes.delete_schedule(thread.id, schedule_id):
            raise unknown_schedule()

    await parts.records.transaction(body)
