"""Invitations by link: a random token, of which only the hash is kept, a role, an end, and how often it may be used."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.codes import Code

from conversation.domain.members import Given
from conversation.domain.refusals import RefusedError

INVITATION: Final = "inv"
USUAL_LIFE: Final = timedelta(days=7)
LONGEST_LIFE: Final = timedelta(days=90)
SHORTEST_LIFE: Final = timedelta(minutes=1)
MOST_USES: Final = 100
MOST_OPEN: Final = 50
"""Invitations of one thread that can still be accepted."""
TRACE_LIFE: Final = timedelta(days=30)
"""How long after its end it is still known what became of an invitation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """One link. `token_hash` is SHA-256 in hexadecimal: the token has 256 random bits, so that no salt is needed."""

    id: str
    thread_id: str
    token_hash: str
    role: Given
    by: str
    created_at: datetime
    expires_at: datetime
    max_uses: int
    uses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is still known of an invitation that is gone, so that who has its link is told why."""

    expires_at: datetime
    revoked: bool


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_life(seconds: int) -> timedelta:
    """How long a link lives; 0 is a week."""
    if seconds == 0:
        return USUAL_LIFE
    if not SHORTEST_LIFE.total_seconds() <= seconds <= LONGEST_LIFE.total_seconds():
        raise RefusedError(
            Code.BODY_INVALID,
            f"An invitation lives from {SHORTEST_LIFE.total_seconds():.0f} seconds to {LONGEST_LIFE.days} days.",
        )
    return timedelta(seconds=seconds)


def check_uses(uses: int) -> int:
    """How many people a link lets in; 0 is one."""
    if not 0 <= uses <= MOST_USES:
        raise RefusedError(Code.BODY_INVALID, f"An invitation can be used from 1 to {MOST_USES} times.")
    return uses or 1


def is_open(invitation: Invitation, now: datetime) -> bool:
    """It can still be accepted."""
    return invitation.uses < invitation.max_uses and now < invitation.expires_at


def invalid_invitation() -> RefusedError:
    """What is said of a token that nothing is known of, whatever it looks like."""
    return RefusedError(
        Code.INVITATION_INVALID,
        "This invitation is not valid: it has expired, was used up or was taken back. Ask for a new one.",
    )


def own_invitation() -> RefusedError:
    """What the owner is told, who cannot be let into what is theirs."""
    return RefusedError(Code.INVITATION_INVALID, "This thread is your own: its invitation lets others in.")


def refusal_of(invitation: Invitation, now: datetime) -> RefusedError:
    """Why an invitation that is not open lets nobody in, for somebody who has its token."""
    if now >= invitation.expires_at:
        return _expired(invitation.expires_at)
    many = (
        "one person, who has used it" if invitation.max_uses == 1 else f"{invitation.max_uses} people, who have used it"
    )
    return RefusedError(Code.INVITATION_INVALID, f"This invitation was for {many}. Ask for a new one.")


def refusal_by(trace: Trace | None) -> RefusedError:
    """The same where the invitation itself is gone."""
    if trace is None:
        return invalid_invitation()
    if trace.revoked:
        return RefusedError(Code.INVITATION_INVALID, "This invitation was taken back. Ask for a new one.")
    return _expired(trace.expires_at)


def _expired(at: datetime) -> RefusedError:
    return RefusedError(
        Code.INVITATION_INVALID, f"This invitation expired on {at:%d %B %Y at %H:%M} UTC. Ask for a new one."
    )
