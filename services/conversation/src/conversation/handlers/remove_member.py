"""Take somebody out of a thread, or leave it."""

from contracts.codes import Code
from contracts.ids import FACT

from conversation.domain.facts import member_removed
from conversation.domain.members import check_role, role_of, without_member
from conversation.domain.refusals import RefusedError
from conversation.handlers.access import access_thread, check_user
from conversation.handlers.change_member import no_member
from conversation.sharing_ports import ShareWrites, SharingParts


async def remove_member(parts: SharingParts, user_id: str, thread_id: str, member_id: str) -> None:
    """From the commit on, every call of theirs is refused; gateways end their open streams when they hear of it. What they
    had asked is still answered. For the owner, and for each of the others themselves."""
    check_user(member_id)

    async def body(writes: ShareWrites) -> None:
        thread = await access_thread(writes, user_id, thread_id)
        if member_id == thread.user_id == user_id:
            raise RefusedError(
                Code.BODY_INVALID, "The owner cannot leave the thread; hand it to another member first, or delete it."
            )
        if member_id != user_id:
            check_role(thread, user_id, "own")
        if role_of(thread, member_id) is None:
            raise no_member()
        after = without_member(thread, member_id)
        await writes.set_members(after)
        writes.say(member_removed(after, member_id, user_id, parts.new_id(FACT), parts.now()))

    await parts.shares.transaction(body)
