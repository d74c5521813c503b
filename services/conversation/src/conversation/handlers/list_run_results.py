"""How the newest runs went, for whoever compares the paths. For administrators and the guard, which act for no user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from conversation.domain.entities import DURABLE, LEGACY, Run
from conversation.ports import Parts

MOST: Final = 5_000


async def list_run_results(parts: Parts, since: datetime, limit: int) -> Sequence[Run]:
    """The newest runs accepted since then, at most `limit` of each path."""
    most = min(max(limit, 1), MOST)
    return [run for path in (LEGACY, DURABLE) for run in await parts.records.newest_runs(path, since, most)]
