"""What sharing and presence need from outside. Adapters implement it; tests have twins."""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.domain.people import Invitation, Joined, Member, Present, Preview


class Sharing(Protocol):
    """Members and invitations, for a user. Every call raises Refusal: not found for strangers, forbidden for a role that is not
    enough, unavailable where nobody answers in time (a write may then have happened or not)."""

    async def members(self, user_id: str, thread_id: str) -> Sequence[Member]:
        """The owner first."""

    async def change_member(self, user_id: str, thread_id: str, member_id: str, role: str) -> Member:
        """Give a member another role."""

    async def transfer(self, user_id: str, thread_id: str, member_id: str) -> Member:
        """Hand the thread to a member; returns the new owner."""

    async def remove_member(self, user_id: str, thread_id: str, member_id: str) -> None:
        """Take a member out; oneself, to leave."""

    async def invite(
        self, user_id: str, thread_id: str, *, role: str, expires_in_seconds: int, max_uses: int
    ) -> tuple[Invitation, str]:
        """A new link and its token."""

    async def invitations(self, user_id: str, thread_id: str) -> Sequence[Invitation]:
        """Those that can still be accepted."""

    async def revoke(self, user_id: str, thread_id: str, invitation_id: str) -> None:
        """Take one back."""

    async def preview(self, user_id: str, token: str) -> Preview:
        """What accepting would mean; changes nothing."""

    async def accept(self, user_id: str, token: str) -> Joined:
        """Come in."""


class Room(Protocol):
    """One viewer's ear for who is there in a thread."""

    def close(self) -> None:
        """Hear no more. Must be called."""


class Presences(Protocol):
    """Who is there, over all gateways. Nothing here is in a database."""

    async def read(self, thread_id: str) -> Sequence[Present]:
        """Everybody who is there now. Raises UnavailableError."""

    async def typing(self, thread_id: str, user_id: str) -> None:
        """The user types: known for some seconds. Raises UnavailableError."""

    def listen(self, thread_id: str, heard: Callable[[bytes], None]) -> Room:
        """Call `heard` with the event for a stream: soon, and whenever somebody comes, goes, or types."""
