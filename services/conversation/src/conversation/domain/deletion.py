"""Deleting a thread: what is left to do once it is gone for everybody, written down so that it is done whatever dies."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from conversation.domain.entities import Thread
from conversation.domain.members import audience

PASSES: Final = 2
"""What was on its way when the thread was deleted (a fact just being told, an end just being recorded) may arrive behind the
first pass; the second finds it."""
LEASE: Final = timedelta(seconds=60)
"""How long one process has for a pass before another takes it up."""
AT_ONCE: Final = 1_000
"""A thread with at most so many messages goes in one transaction; of a longer one the rest goes afterwards, piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A thread that is gone. `user_ids` are all who were ever in it, `run_ids` the runs that had not ended: their commands and
    timers are still about, as are the timers of `schedule_ids` and the logs of the shadow runs
    `shadow_ids`. It holds no text."""

    thread_id: str
    user_ids: tuple[str, ...]
    run_ids: tuple[str, ...]
    schedule_ids: tuple[str, ...]
    shadow_ids: tuple[str, ...]
    asked_at: datetime
    next_at: datetime
    passes: int = 0

    def after_pass(self, now: datetime, settle: timedelta) -> "Deletion | None":
        """What is left after one more pass; None for nothing."""
        if self.passes + 1 >= PASSES:
            return None
        return replace(self, passes=self.passes + 1, next_at=now + settle)


def deletion_of(
    thread: Thread,
    now: datetime,
    *,
    run_ids: tuple[str, ...] = (),
    schedule_ids: tuple[str, ...] = (),
    shadow_ids: tuple[str, ...] = (),
) -> Deletion:
    """What is left to do about a thread that is being deleted."""
    users = dict.fromkeys((thread.user_id, *audience(thread), *thread.former))
    return Deletion(
        thread_id=thread.id,
        user_ids=tuple(users),
        run_ids=run_ids,
        schedule_ids=schedule_ids,
        shadow_ids=shadow_ids,
        asked_at=now,
        next_at=now,
    )
