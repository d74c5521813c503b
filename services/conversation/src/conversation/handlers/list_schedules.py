"""List a thread's schedules."""

from collections.abc import Sequence

from conversation.domain.schedules import Schedule
from conversation.handlers.access import access_thread
from conversation.ports import Parts


async def list_schedules(parts: Parts, user_id: str, thread_id: str) -> Sequence[Schedule]:
    """All of them, the oldest first."""
    thread = await access_thread(parts, user_id, thread_id)
    return await parts.records.schedules(thread.id)
