"""What handlers look up of a thread as a whole, in the records or within a transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from conversation.domain.branches import Stub
from conversation.domain.entities import Message, Run
from conversation.domain.schedules import Schedule


class Lists(Protocol):
    """Reads, beside those of single things."""

    async def stubs(self, thread_id: str, after: int = 0) -> Sequence[Stub]:
        """All messages of a thread with a position above `after`, without what they say, in order."""

    async def messages_of(self, message_ids: Sequence[str]) -> Sequence[Message]:
        """The messages with these ids, in order."""

    async def schedules(self, thread_id: str) -> Sequence[Schedule]:
        """The schedules of a thread, the oldest first."""

    async def schedule(self, schedule_id: str) -> Schedule | None:
        """One schedule, whoever made it."""

    async def overdue_schedules(self, before: datetime, limit: int) -> Sequence[Schedule]:
        """Schedules whose next time was before then, the longest overdue first."""

    async def runs(self, user_id: str, thread_id: str, since: datetime, limit: int) -> Sequence[Run]:
        """The newest runs of a thread that were accepted since then; without a thread those that answer the user's messages."""


class Calendar(Protocol):
    """When a cron expression names the next time."""

    def next_after(self, cron: str, time_zone: str, moment: datetime) -> datetime | None:
        """The first time after a moment, in UTC; None where there will be none. Raises RefusedError."""
