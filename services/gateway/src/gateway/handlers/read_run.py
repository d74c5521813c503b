"""A run as it is now: what conversation has recorded, and while it runs, what its log says."""

from dataclasses import dataclass

import structlog
from contracts.run_state import RunState

from gateway.domain.records import ENDED, Run
from gateway.handlers.fold_run import state_soon
from gateway.ports import BusError, Conversation, LogReader

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunNow:
    """`state` is the fold of the log, None where the record says all there is. `as_stored`: the log did not answer, and knows
    more than the record."""

    run: Run
    state: RunState | None
    as_stored: bool = False


async def read_run(conversation: Conversation, log: LogReader, user_id: str, run_id: str) -> RunNow:
    """Raises Refusal. Where the log does not answer, what was last stored."""
    run, _ = await conversation.get_run(user_id, run_id)
    if run.status in ENDED:
        return RunNow(run, None)
    try:
        return RunNow(run, await state_soon(log, run.thread_id, run.id))
    except BusError as error:
        logger.warning("run.overlay_failed", run_id=run_id, error=str(error))
        return RunNow(run, None, as_stored=True)
