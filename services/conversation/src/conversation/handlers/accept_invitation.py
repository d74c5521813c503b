"""Come in by a link."""

from contracts.ids import FACT

from conversation.domain.entities import Thread
from conversation.domain.facts import member_changed, thread_shared
from conversation.domain.invitations import is_open, refusal_of
from conversation.domain.members import Member, Role, higher, member_of, with_member
from conversation.handlers.access import access_by_token, check_user
from conversation.sharing_ports import ShareWrites, SharingParts


async def accept_invitation(parts: SharingParts, user_id: str, token: str) -> tuple[Thread, Role]:
    """The thread, and what the user may do in it now. Who is in already keeps the higher role and uses nothing up unless it
    rises, so that a repeated call changes nothing. The owner is refused, like a link that is not valid."""
    check_user(user_id)

    async def body(writes: ShareWrites) -> tuple[Thread, Role]:
        now = parts.now()
        invitation, thread = await access_by_token(writes, user_id, token)
        known = member_of(thread, user_id)
        if known is not None and higher(known.role, invitation.role) == known.role:
            return thread, known.role
        if not is_open(invitation, now):
            raise refusal_of(invitation, now)
        since = now if known is None else known.since
        member = Member(user_id=user_id, role=invitation.role, since=since, by=invitation.by)
        after = with_member(thread, member)
        await writes.set_members(after)
        await writes.use_invitation(invitation)
        if known is None:
            writes.say(thread_shared(after, member, parts.new_id(FACT), now))
        else:
            writes.say(member_changed(after, member, invitation.by, parts.new_id(FACT), now))
        return after, member.role

    return await parts.shares.transaction(body)
