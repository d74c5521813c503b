"""What the handlers need from outside. Adapters implement it; tests have twins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bus.api import Entry, RunLog
from bus.errors import BusError

from gateway.domain.identity import Principal
from gateway.domain.records import Accepted, Message, Preferences, Run, Thread, ThreadChange, User

__all__ = ["Authenticator", "BusError", "Conversation", "Entry", "LogReader", "LogViewer", "Page", "Viewer", "Viewers"]

LogReader = RunLog
"""The gateway reads the log and appends commands; it never claims."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages or threads; `next_cursor` is empty on the last one."""

    threads: Sequence[Thread]
    messages: Sequence[Message]
    next_cursor: str


class Conversation(Protocol):
    """Threads, messages and runs of one user. Every call raises Refusal: not found for what is not that user's, unavailable
    where nobody answers in time (a write may then have happened or not)."""

    async def create_thread(self, user_id: str, *, title: str, model: str, tags: Sequence[str]) -> Thread:
        """A new thread."""

    async def get_thread(self, user_id: str, thread_id: str) -> Thread:
        """The thread, if it is the user's."""

    async def list_threads(self, user_id: str, *, archived: bool | None, cursor: str, limit: int) -> Page:
        """Newest first."""

    async def update_thread(self, user_id: str, thread_id: str, change: ThreadChange) -> Thread:
        """Change what is given."""

    async def delete_thread(self, user_id: str, thread_id: str) -> None:
        """Delete it with all its messages."""

    async def accept_message(
        self,
        user_id: str,
        thread_id: str,
        *,
        content: str,
        model: str,
        path: str,
        idempotency_key: str,
        body_hash: bytes,
        parent_message_id: str,
    ) -> Accepted:
        """Store message, pending answer and run in one transaction. Idempotent by key."""

    async def list_messages(self, user_id: str, thread_id: str, *, cursor: str, limit: int) -> Page:
        """Oldest first."""

    async def get_run(self, user_id: str, run_id: str) -> tuple[Run, Message | None]:
        """The run, and its stored answer once it has ended."""

    async def get_user(self, user_id: str) -> User:
        """The user, created when first seen."""

    async def update_preferences(
        self, user_id: str, *, system_prompt: str | None, default_model: str | None
    ) -> Preferences:
        """Change what is given."""


class Authenticator(Protocol):
    """Turns a token into a caller."""

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller named by an Authorization header; raises Refusal."""


class Viewer(Protocol):
    """One viewer's place in a stream. Used by one task; `wake` may be called by anybody."""

    @property
    def cursor(self) -> str:
        """The id of the last frame taken; empty before the first."""

    @property
    def ended(self) -> bool:
        """The last frame there will ever be was taken."""

    async def take(self) -> bytes:
        """The next frames, joined, at most one bounded piece; waits for them. Empty when woken without any."""

    def wake(self) -> None:
        """Make a waiting `take` return."""

    async def close(self) -> None:
        """Leave. Must be called."""


class LogViewer(Viewer, Protocol):
    """A viewer of the run log, before which its past can be looked at."""

    async def peek(self) -> Entry | None:
        """The first stored entry that `take` would give, or None where none is stored yet."""

    def skip(self) -> None:
        """Leave out the entry that `peek` gave: the viewer has seen it."""

    def leave_out(self, run_ids: frozenset[str]) -> None:
        """Give nothing stored of these runs: their log is not whole."""


class Viewers(Protocol):
    """Gives viewers. All viewers of one filter share one follower of the log."""

    def of_log(self, subject_filter: str, *, after: int, until_terminal: bool) -> LogViewer:
        """Events in RUNS above the stream sequence `after`; with `until_terminal`, up to the first terminal one."""

    async def of_feed(self, user_id: str, *, after: int | None) -> Viewer:
        """The user's feed above `after`, or from now on where it is None (settled before this returns)."""
