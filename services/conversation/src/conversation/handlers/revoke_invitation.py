"""Take an invitation back."""

from contracts.codes import Code

from conversation.domain.refusals import RefusedError
from conversation.handlers.access import access_thread
from conversation.sharing_ports import ShareWrites, SharingParts


async def revoke_invitation(parts: SharingParts, user_id: str, thread_id: str, invitation_id: str) -> None:
    """From the commit on its link lets nobody in; who came in by it stays. For the owner."""

    async def body(writes: ShareWrites) -> None:
        thread = await access_thread(writes, user_id, thread_id, "own")
        if not await writes.revoke_invitation(thread.id, invitation_id):
            raise RefusedError(Code.NOT_FOUND, "There is no such invitation of this thread.")

    await parts.shares.transaction(body)
