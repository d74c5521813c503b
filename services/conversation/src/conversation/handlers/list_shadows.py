"""What became of shadow runs, for whoever compares the paths. For administrators, who act for no user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from conversation.domain.shadows import ShadowPair
from conversation.ports import Parts

MOST: Final = 5_000


async def list_shadows(parts: Parts, since: datetime, limit: int) -> Sequence[ShadowPair]:
    """The newest shadows begun since then, each beside the run that it repeats; without those whose thread was deleted."""
    shadows = await parts.records.shadows.newest(since, min(max(limit, 1), MOST))
    if not shadows:
        return []
    served = {run.id: run for run in await parts.records.shadows.served([shadow.served_run_id for shadow in shadows])}
    operations = await parts.records.operations([run.message_id for run in served.values()])
    return [
        ShadowPair(run, shadow, operations.get(run.message_id))
        for shadow in shadows
        if (run := served.get(shadow.served_run_id)) is not None
    ]
