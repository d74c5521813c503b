"""Taking a run: by compare-and-set, after asking whoever holds it, so that five deliveries make one model call."""

import structlog
from bus.api import Claim, HandedOver, Outcome, RunLog
from bus.errors import ClaimLostError

from inference.handlers.leave_at_rest import leave_at_rest
from inference.handlers.running import Claimed, RunningRun
from inference.handlers.suspend_run import Again
from inference.ports import Clock, Peers

logger = structlog.get_logger()


async def take_run(
    log: RunLog, peers: Peers, run: RunningRun, *, worker: str, clock: Clock
) -> tuple[Claim, bool] | Outcome | Again:
    """Claim the run; `(claim, whether somebody held it before)`, or the outcome where another worker executes it, or where
    there is nothing to do for it.

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
            logger.info("run.taken_over", run_id=run_id, from_worker=holder.worker, attempt=holder.attempt + 1)
        if holder is not None and holder.released:
            left = await leave_at_rest(log, run, holder, clock)
            if left is not None:
                return left
        sent = clock.monotonic()
        try:
            claim = await log.claim(thread_id, run_id, worker=worker, delivery=run.delivery.reply, after=holder)
        except ClaimLostError:
            continue
        run.fence, run.claimed = claim.fence, Claimed(clock.now(), clock.monotonic(), clock.monotonic() - sent)
        return claim, holder is not None
