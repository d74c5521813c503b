"""Count the runs of all users."""

from datetime import timedelta
from typing import Final

from conversation.domain.operations import RunCounts
from conversation.operations_ports import OperationsParts

LATELY: Final = timedelta(hours=1)
LOOK_BACK: Final = timedelta(hours=2)
"""An id begins with the time of acceptance, which is how the end is found without an index of its own."""


async def count_runs(parts: OperationsParts) -> RunCounts:
    """As of now."""
    now = parts.now()
    return await parts.runs.counts(accepted_since=now - LOOK_BACK, ended_since=now - LATELY)
