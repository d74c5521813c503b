"""What administrators ask about the runs of all users."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs; what is empty or None does not matter. `status` is as shown: pending, generating and waiting are told apart."""

    status: str = ""
    path: str = ""
    model: str = ""
    user_id: str = ""
    agent: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """Open runs as shown, those that ended lately, and the rows of the outbox."""

    pending: int
    generating: int
    waiting: int
    ended: int
    failed: int
    outbox: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that could not be handled, without what it says. `id` is its place among the dead letters."""

    id: int
    consumer: str
    stream: str
    subject: str
    reason: str
    delivered: int
    at: str
