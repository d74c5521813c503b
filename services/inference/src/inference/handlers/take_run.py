"""Taking a run: by compare-and-set, after asking whoever holds it, so that five deliveries make one model call."""

import structlog
from bus.api import Claim, Done, HandedOver, Outcome, RunLog
from bus.errors import ClaimLostError

from inference.handlers.running import RunningRun
from inference.ports import Peers

logger = structlog.get_logger()


async def take_run(log: RunLog, peers: Peers, run: RunningRun, *, worker: str) -> tuple[Claim, bool] | Outcome:
    """Claim the run; `(claim, whether somebody held it before)`, or the outcome where another worker executes it.

    The run must be registered as running here already: whoever sees the claim asks this worker. Raises UnavailableError.
    """
    thread_id, run_id = run.command.thread_id, run.command.run_id
    while True:
        holder = await log.holder(thread_id, run_id)
        if holder is not None and not holder.released and holder.worker != worker:
            delivery = run.delivery
            answer = await peers.adopt(holder.worker, run_id, delivery.reply, delivery.stream_sequence)
            if answer == "adopted":
                return HandedOver()
            if answer == "duplicate":
                return Done()
            logger.info("run.taken_over", run_id=run_id, from_worker=holder.worker, attempt=holder.attempt + 1)
        try:
            claim = await log.claim(thread_id, run_id, worker=worker, delivery=run.delivery.reply, after=holder)
        except ClaimLostError:
            continue
        run.fence = claim.fence
        return claim, holder is not None
