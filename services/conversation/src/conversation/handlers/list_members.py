"""List who is in a thread."""

from dataclasses import dataclass
from datetime import datetime

from conversation.domain.members import Role, owned_since
from conversation.handlers.access import access_thread
from conversation.sharing_ports import SharingParts


@dataclass(frozen=True, slots=True)
class Listed:
    """One of them."""

    user_id: str
    role: Role
    since: datetime


async def list_members(parts: SharingParts, user_id: str, thread_id: str) -> list[Listed]:
    """The owner first, then the others in the order in which they joined. For everybody in it."""
    thread = await access_thread(parts.shares, user_id, thread_id)
    owner = Listed(thread.user_id, "owner", owned_since(thread))
    return [owner, *(Listed(member.user_id, member.role, member.since) for member in thread.members)]
