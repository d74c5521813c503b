"""Whose clock counts. Limits and waits of a run are measured across the workers that carry it on, one after the other, so all of
them must mean the same time by what they write into its log: the broker's, which stamps what it stores."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

IN_STEP_SECONDS: Final = 1.0
"""A clock that differs by no more is left alone: it is read at once, where asking the broker takes a moment on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Something that this worker had the broker store: at `stored_at` by the broker's clock, in seconds since 1970 (0: it does
    not say); confirmed at `confirmed` by this machine's time of day, `took` seconds after it was sent."""

    stored_at: float
    confirmed: datetime
    took: float

    @property
    def is_in_step(self) -> bool:
        """This machine's clock tells the broker's time, as far as can be seen: the entry was stored on the way."""
        if not self.stored_at:
            return True
        early = self.confirmed.timestamp() - self.took - IN_STEP_SECONDS
        return early <= self.stored_at <= self.confirmed.timestamp() + IN_STEP_SECONDS

    def now(self, since: float) -> datetime:
        """The broker's time `since` seconds after the confirmation, or a moment later: by no more than it took to store. Only
        where the clock is out of step."""
        return datetime.fromtimestamp(self.stored_at, UTC) + timedelta(seconds=since)


def at_least(now: datetime, stored_at: float) -> datetime:
    """The time by a clock that may be slow, where the broker has stored something at `stored_at` already (0: not known)."""
    return max(now, datetime.fromtimestamp(stored_at, UTC)) if stored_at else now
