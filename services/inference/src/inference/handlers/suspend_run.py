"""A run that waits holds no process: what is done before letting go of it, and when it is taken again."""

from datetime import datetime

import msgspec
import structlog
from bus.api import Claim, RunLog
from bus.errors import BusError
from contracts import events as e
from contracts.commands import ExecuteRun
from contracts.run_state import RunState
from contracts.subjects import due_subject, timer_subject
from contracts.times import rfc3339

from inference.domain.waits import Resumption, Wait, resumption_of
from inference.handlers.journal import Journal
from inference.handlers.read_log import Commands, read_commands
from inference.handlers.running import RunningRun
from inference.ports import Timers

logger = structlog.get_logger()

TIMER_KIND = "run"


class Again:
    """The run waited, and what it waited for may be there: look at it again."""


async def write_wait(journal: Journal, timers: Timers, command: ExecuteRun, wait: Wait) -> None:
    """Set the timer, then say so in the log: a run that waits always has one. Raises BusError."""
    await timers.schedule(
        timer_subject(TIMER_KIND, command.run_id),
        at=wait.expires_at,
        target=due_subject(TIMER_KIND, command.run_id),
        data=msgspec.json.encode(command),
    )
    journal.put(
        e.RunWaiting,
        reason=wait.reason,
        schema=wait.schema,
        expires_at=rfc3339(wait.expires_at),
        wait_id=wait.wait_id,
        prompt=wait.prompt,
        tool_call_id=wait.tool_call_id,
        agent=wait.agent,
    )
    journal.checkpoint()
    await journal.stored()


async def forget_timer(timers: Timers | None, run_id: str) -> None:
    """Best effort: a timer that fires for nothing does no harm."""
    if timers is None:
        return
    try:
        await timers.unschedule(timer_subject(TIMER_KIND, run_id))
    except BusError as error:
        logger.warning("timer.unforgotten", run_id=run_id, error=str(error))


def awaited(state: RunState, commands: Commands, now: datetime) -> Resumption | None:
    """What a run that waits goes on with, if there is something. A cancellation is asked for elsewhere."""
    if state.waiting is None:
        return None
    return resumption_of(state.waiting, commands.inputs, commands.decisions, now)


async def let_go(log: RunLog, run: RunningRun, claim: Claim, state: RunState, now: datetime) -> bool:
    """Release the claim of a run that waits; whether it must be taken again at once.

    A command is stored before anybody is told of it. Whoever is told before the release asks this worker, which says no from
    here on; whoever is told later finds the run free. What is stored before the release, this looks for after it.
    """
    run.leave()
    await log.release(claim)
    commands = await read_commands(log, claim)
    return commands.cancelled_by is not None or awaited(state, commands, now) is not None
