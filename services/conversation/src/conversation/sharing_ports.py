"""What sharing needs from outside. `adapters.mongo_shares` is the real one. Any of it may raise StoreUnavailableError."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from conversation.domain.entities import Outgoing, Thread
from conversation.domain.invitations import Invitation, Trace

T = TypeVar("T")


class ShareWrites(Protocol):
    """One transaction: it sees a snapshot, and all of it is stored or nothing."""

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        """The thread, if the user is in it."""

    async def any_thread(self, thread_id: str) -> Thread | None:
        """The thread, whoever is in it."""

    async def set_members(self, thread: Thread) -> None:
        """Store who owns a thread and who else is in it; whoever hears of the end of a run under way is among them. Two at once in one thread collide."""

    async def add_invitation(self, invitation: Invitation) -> None:
        """Store a new invitation, and what will be known of it later."""

    async def invitation(self, token_hash: str) -> Invitation | None:
        """The invitation of a token."""

    async def invitation_trace(self, token_hash: str) -> Trace | None:
        """What is known of a token whose invitation is gone."""

    async def use_invitation(self, invitation: Invitation) -> None:
        """Count one more use. Two at once collide."""

    async def revoke_invitation(self, thread_id: str, invitation_id: str) -> bool:
        """Take one back; whether there was such an invitation of the thread."""

    def say(self, outgoing: Outgoing) -> None:
        """Have this published if, and only if, the transaction commits."""


class Shares(Protocol):
    """Who is in which thread, and who may come in."""

    async def transaction(self, body: Callable[[ShareWrites], Awaitable[T]]) -> T:
        """Run `body` as one transaction; it may run several times and what it raises rolls back."""

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        """The thread, if the user is in it."""

    async def invitations(self, thread_id: str) -> Sequence[Invitation]:
        """A thread's invitations, the newest first, those that nobody can accept any more included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingParts:
    """Everything that the handlers of sharing may use. `new_token` gives 256 random bits as text for a URL."""

    shares: Shares
    now: Callable[[], datetime]
    new_id: Callable[[str], str]
    new_token: Callable[[], str]
