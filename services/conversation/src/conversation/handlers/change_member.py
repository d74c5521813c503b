"""Give a member another role."""

from dataclasses import replace

from contracts.codes import Code
from contracts.ids import FACT

from conversation.domain.facts import member_changed
from conversation.domain.members import Member, known_role, with_member
from conversation.domain.refusals import RefusedError
from conversation.handlers.access import access_thread, check_user
from conversation.sharing_ports import ShareWrites, SharingParts


async def change_member(parts: SharingParts, user_id: str, thread_id: str, member_id: str, role: str) -> Member:
    """The member with the new role; what it has already is no change. For the owner, whose own role stays."""
    wanted = known_role(role)
    check_user(member_id)

    async def body(writes: ShareWrites) -> Member:
        thread = await access_thread(writes, user_id, thread_id, "own")
        if member_id == thread.user_id:
            raise RefusedError(Code.BODY_INVALID, "The owner's role cannot be changed.")
        member = next((known for known in thread.members if known.user_id == member_id), None)
        if member is None:
            raise no_member()
        if member.role == wanted:
            return member
        changed = replace(member, role=wanted)
        after = with_member(thread, changed)
        await writes.set_members(after)
        writes.say(member_changed(after, changed, user_id, parts.new_id(FACT), parts.now()))
        return changed

    return await parts.shares.transaction(body)


def no_member() -> RefusedError:
    """Nobody of that id is in the thread."""
    return RefusedError(Code.NOT_FOUND, "There is no such member in this thread.")
