"""How the newest runs went, for whoever compares the paths. For administrators and the guard, which act for no user."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from conversation.domain.entities import DURABLE, LEGACY, OPEN, Run
from conversation.ports import Parts

MOST: Final = 5_000
OVERDUE: Final = timedelta(minutes=5)
"""So long after its deadline a run without an end has broken the promise, whatever tries to end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run, and what it took: `operations` are the database's, None where they are not known or not asked for."""

    run: Run
    operations: int | None = None
    overdue: bool = False


async def list_run_results(
    parts: Parts, since: datetime, limit: int, *, with_operations: bool = False
) -> Sequence[Result]:
    """The newest runs accepted since then, at most `limit` of each path."""
    most, now = min(max(limit, 1), MOST), parts.now()
    runs = [run for path in (LEGACY, DURABLE) for run in await parts.records.newest_runs(path, since, most)]
    operations = await parts.records.operations([run.message_id for run in runs]) if with_operations else {}
    return [
        Result(
            run=run,
            operations=operations.get(run.message_id),
            overdue=run.status in OPEN and now > run.deadline_at + OVERDUE,
        )
        for run in runs
    ]
