"""Say what a link is, before anybody comes in by it."""

from dataclasses import dataclass
from datetime import datetime

from conversation.domain.invitations import is_open, refusal_of
from conversation.domain.members import Given, Role, higher, member_of
from conversation.handlers.access import access_by_token, check_user
from conversation.sharing_ports import ShareWrites, SharingParts


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What accepting an invitation would mean: nothing else of the thread. `own_role` is the caller's, who is in it already."""

    title: str
    invited_by: str
    role: Given
    expires_at: datetime
    own_role: Role | None


async def preview_invitation(parts: SharingParts, user_id: str, token: str) -> Preview:
    """For whoever has the token. Refused wherever accepting it would be, in the same words; changes nothing."""
    check_user(user_id)

    async def body(writes: ShareWrites) -> Preview:
        now = parts.now()
        invitation, thread = await access_by_token(writes, user_id, token)
        known = member_of(thread, user_id)
        rises = known is None or higher(known.role, invitation.role) != known.role
        if rises and not is_open(invitation, now):
            raise refusal_of(invitation, now)
        return Preview(
            title=thread.title,
            invited_by=invitation.by,
            role=invitation.role,
            expires_at=invitation.expires_at,
            own_role=None if known is None else known.role,
        )

    return await parts.shares.transaction(body)
