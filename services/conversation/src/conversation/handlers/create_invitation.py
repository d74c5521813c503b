"""Make a link that lets others in."""

from contracts.codes import Code

from conversation.domain.invitations import (
    INVITATION,
    MOST_OPEN,
    Invitation,
    check_life,
    check_uses,
    hash_of,
    is_open,
)
from conversation.domain.members import known_role
from conversation.domain.refusals import RefusedError
from conversation.handlers.access import access_thread
from conversation.sharing_ports import ShareWrites, SharingParts


async def create_invitation(
    parts: SharingParts, user_id: str, thread_id: str, *, role: str, expires_in_seconds: int, max_uses: int
) -> tuple[Invitation, str]:
    """The invitation and its token, which nobody can be told again. For the owner."""
    given, life, uses = known_role(role), check_life(expires_in_seconds), check_uses(max_uses)
    thread = await access_thread(parts.shares, user_id, thread_id, "own")
    now = parts.now()
    if sum(is_open(known, now) for known in await parts.shares.invitations(thread.id)) >= MOST_OPEN:
        raise RefusedError(
            Code.LIMIT_REACHED, f"A thread has at most {MOST_OPEN} open invitations; take one back first."
        )
    token = parts.new_token()
    invitation = Invitation(
        id=parts.new_id(INVITATION),
        thread_id=thread.id,
        token_hash=hash_of(token),
        role=given,
        by=user_id,
        created_at=now,
        expires_at=now + life,
        max_uses=uses,
    )

    async def body(writes: ShareWrites) -> None:
        # Once more in the transaction: a thread that is being deleted must not get an invitation behind its back.
        await access_thread(writes, user_id, thread_id, "own")
        await writes.add_invitation(invitation)

    await parts.shares.transaction(body)
    return invitation, token
