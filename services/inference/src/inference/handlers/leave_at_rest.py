"""A command for a run that has ended, or waits for something that has not come: seen without taking the run."""

from bus.api import Done, Holder, RunLog
from bus.errors import ClaimLostError

from inference.domain.broker_time import at_least
from inference.handlers.read_log import read_rest
from inference.handlers.running import RunningRun
from inference.handlers.suspend_run import Again, awaited
from inference.ports import Clock


async def leave_at_rest(log: RunLog, run: RunningRun, holder: Holder, clock: Clock) -> Done | Again | None:
    """What becomes of the delivery where nothing is to be done for the run, whose claim is released; None where it must be
    taken. Raises BusError.

    A claim would have to be given back, and whoever dies in between leaves it behind for ever where the delivery is a late
    one of a command that was settled long ago. So the mark of the release is written once more instead: whoever reads up to
    there has seen whatever was done before, also on a replica that lags.
    """
    if not await _is_at_rest(log, run, holder.fence, clock):
        return None
    # As in suspend_run.let_go: who comes with a command from here on does not leave it to this worker.
    run.leave()
    try:
        place = await log.confirm_released(run.command.thread_id, run.command.run_id, after=holder)
    except ClaimLostError:
        return Again()
    return Done() if await _is_at_rest(log, run, place, clock) else Again()


async def _is_at_rest(log: RunLog, run: RunningRun, released_at: int, clock: Clock) -> bool:
    history = await read_rest(log, run.command.thread_id, run.command.run_id, released_at)
    if history is None or history.snapshot_sequence < history.state.sequence:
        return False
    if history.state.is_terminal:
        return True
    # By the time that it is now: a timer that fired since the delivery came may have been adopted with it. And by the broker's at
    # least, which fires the timers: to a clock that is slow they come too early, and would be settled for nothing.
    now = at_least(clock.now(), max(run.delivery.stored_at, history.claimed_at))
    waits_on = history.cancelled_by is None and awaited(history.state, history.commands, now) is None
    return history.state.waiting is not None and waits_on
