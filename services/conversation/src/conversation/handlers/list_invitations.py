"""List a thread's open invitations."""

from conversation.domain.invitations import Invitation, is_open
from conversation.handlers.access import access_thread
from conversation.sharing_ports import SharingParts


async def list_invitations(parts: SharingParts, user_id: str, thread_id: str) -> list[Invitation]:
    """Those that can still be accepted, the newest first. For the owner."""
    thread = await access_thread(parts.shares, user_id, thread_id, "own")
    now = parts.now()
    return [invitation for invitation in await parts.shares.invitations(thread.id) if is_open(invitation, now)]
