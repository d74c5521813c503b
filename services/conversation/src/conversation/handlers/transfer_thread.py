"""Hand a thread to another owner."""

from contracts.codes import Code
from contracts.ids import FACT

from conversation.domain.facts import owner_changed
from conversation.domain.members import check_role, handed_over, has_handed_over, owned_since
from conversation.domain.refusals import RefusedError
from conversation.handlers.access import access_thread, check_user
from conversation.handlers.change_member import no_member
from conversation.handlers.list_members import Listed
from conversation.sharing_ports import ShareWrites, SharingParts


async def transfer_thread(parts: SharingParts, user_id: str, thread_id: str, member_id: str) -> Listed:
    """The new owner, who must be in the thread already; who hands it over is an editor from the commit on, and changes nothing by
    asking again. What was asked before stays its author's, on whose bill it is."""
    check_user(member_id)

    async def body(writes: ShareWrites) -> Listed:
        thread = await access_thread(writes, user_id, thread_id)
        if member_id == thread.user_id and has_handed_over(thread, user_id):
            return Listed(member_id, "owner", owned_since(thread))
        check_role(thread, user_id, "own")
        if member_id == user_id:
            raise RefusedError(Code.BODY_INVALID, "You own this thread already; name another member of it.")
        member = next((known for known in thread.members if known.user_id == member_id), None)
        if member is None:
            raise no_member()
        now = parts.now()
        after = handed_over(thread, member, now)
        await writes.set_members(after)
        for outgoing in owner_changed(after, user_id, (parts.new_id(FACT), parts.new_id(FACT)), now):
            writes.say(outgoing)
        return Listed(member_id, "owner", now)

    return await parts.shares.transaction(body)
