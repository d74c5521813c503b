"""What the calls for administrators need from outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from conversation.domain.entities import Run
from conversation.domain.operations import DeadLetter, RunCounts, RunQuery


class AllRuns(Protocol):
    """Runs of all users, as they are shown: of an open one `status` is that of its answer. May raise
    store.errors.StoreUnavailableError."""

    async def page(self, query: RunQuery, *, after: str, limit: int) -> tuple[Sequence[Run], str]:
        """The newest runs older than the run `after` (empty: from the newest), and the run to go on after, empty at the end.
        One page looks at a bounded number of runs, so it may hold fewer than `limit`."""

    async def one(self, run_id: str) -> Run | None:
        """Any run."""

    async def counts(self, *, accepted_since: datetime, ended_since: datetime) -> RunCounts:
        """Open runs, and of those accepted since then the ones that ended since then."""


class DeadLetters(Protocol):
    """The dead letters. May raise bus.errors.BusError."""

    async def newest(self, limit: int) -> Sequence[DeadLetter]:
        """The newest first."""

    async def retry(self, id: int) -> bool:
        """Publish one again where it came from, and take it away; False where there is none."""

    async def find(self, id: int) -> DeadLetter | None:
        """One of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsParts:
    """Everything that handlers for administrators may use."""

    runs: AllRuns
    letters: DeadLetters
    now: Callable[[], datetime]
