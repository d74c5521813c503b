"""What the handlers need to know and change of a thread as a whole."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway.domain.records import Branch, Run, Schedule, ScheduleChange, Thread

CheckValue = Callable[[Any, Any], str]
"""Why a value does not fit a JSON schema, as a sentence; empty where it does."""


class ThreadTools(Protocol):
    """Branches, forks, schedules and runs, for one user; raises like ports.Conversation."""

    async def list_branches(self, user_id: str, thread_id: str) -> Sequence[Branch]:
        """Oldest first."""

    async def label_branch(self, user_id: str, thread_id: str, branch_id: str, label: str) -> Branch:
        """Name a branch; an empty label takes its name away."""

    async def fork_thread(
        self, user_id: str, thread_id: str, message_id: str, title: str, *, idempotency_key: str
    ) -> Thread:
        """A new thread with copies of the messages up to that one. Idempotent by key."""

    async def create_schedule(
        self, user_id: str, schedule: Schedule, roles: Sequence[str], *, idempotency_key: str
    ) -> Schedule:
        """A new schedule; of the one given, only what a user chooses counts. Idempotent by key."""

    async def list_schedules(self, user_id: str, thread_id: str) -> Sequence[Schedule]:
        """Oldest first."""

    async def update_schedule(
        self,
        user_id: str,
        thread_id: str,
        schedule_id: str,
        change: ScheduleChange,
        *,
        expected_revision: int,
        roles: Sequence[str],
    ) -> Schedule:
        """Change what is given; refused where somebody else was first, unless nothing changes."""

    async def delete_schedule(self, user_id: str, thread_id: str, schedule_id: str) -> None:
        """Send it no more."""

    async def list_runs(self, user_id: str, thread_id: str, limit: int) -> Sequence[Run]:
        """Newest first; without a thread those that answer the user's messages, of the last week."""
