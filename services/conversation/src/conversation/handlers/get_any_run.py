"""Get a run of whomever."""

from contracts.ids import RUN

from conversation.domain.entities import Run
from conversation.domain.refusals import known_id, not_found
from conversation.operations_ports import OperationsParts


async def get_any_run(parts: OperationsParts, run_id: str) -> Run:
    """The run. Raises RefusedError: not found."""
    run = await parts.runs.one(known_id(RUN, run_id))
    if run is None:
        raise not_found(RUN)
    return run
