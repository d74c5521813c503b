"""List a thread's branches."""

from collections.abc import Sequence

from conversation.domain.branches import Branch, Tree
from conversation.handlers.access import access_thread
from conversation.ports import Parts


async def list_branches(parts: Parts, user_id: str, thread_id: str) -> Sequence[Branch]:
    """All of them, the oldest first."""
    thread = await access_thread(parts, user_id, thread_id)
    return Tree(await parts.records.stubs(thread.id)).branches(thread)
