"""Get one thread."""

from conversation.domain.entities import Thread
from conversation.handlers.access import access_thread
from conversation.ports import Parts


async def get_thread(parts: Parts, user_id: str, thread_id: str) -> Thread:
    """The user's thread."""
    return await access_thread(parts, user_id, thread_id)
