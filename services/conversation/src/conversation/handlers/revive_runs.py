"""See to runs that were accepted and of which nothing is heard: their command may be lost for ever."""

from datetime import datetime
from typing import Final

from contracts.codes import RunFailure

from conversation.domain.acceptance import execute_command
from conversation.domain.entities import LEGACY, Run
from conversation.domain.revival import decide, decide_by_log, next_check
from conversation.handlers.start_run import start_run
from conversation.handlers.wake_run import wake_run
from conversation.ports import Parts, Writes

AT_ONCE: Final = 100


async def revive_runs(parts: Parts) -> dict[str, int]:
    """One pass over the open runs that are due; returns how many were waited for, revived and failed. Safe in several
    replicas: a revival is counted by compare-and-set, and a second command for a run makes no second model call."""
    counts = {"wait": 0, "start": 0, "revive": 0, "fail": 0}
    now = parts.now()
    for run in await parts.records.unheard_runs(now, AT_ONCE):
        waiting = await parts.broker.is_command_waiting(run.id)
        decision = decide(run, now, command_waiting=waiting)
        if decision in ("revive", "fail") and run.path != LEGACY:
            decision = decide_by_log(run, now, await parts.broker.state_of(run))
        if decision == "start" and not await start_run(parts, run.id, due=False):
            decision = "wait"
        if decision == "revive":
            await _revive(parts, run, now)
        elif decision == "fail":
            await parts.broker.fail_run(
                run,
                code=RunFailure.ORPHANED,
                sentence="The answer was not begun, or was given up, and could not be started again. Send the message again.",
                now=now,
            )
            await parts.records.check_run_again(run, next_check(run, now, parts.timing.first_check))
        elif decision == "wait":
            if run.path != LEGACY and not waiting and await parts.broker.is_commanded(run):
                # It waits and was answered, but whoever was told of that is gone: tell the workers again.
                await wake_run(parts, run.id, occasion=f"nudge:{round(now.timestamp())}", stops=True)
            await parts.records.check_run_again(run, next_check(run, now, parts.timing.first_check))
        counts[decision] += 1
    return counts


async def _revive(parts: Parts, run: Run, now: datetime) -> None:
    async def body(writes: Writes) -> None:
        check_at = next_check(run, now, parts.timing.first_check)
        if await writes.revive_run(run, check_at=check_at):
            writes.say(execute_command(run.again(check_at)))

    await parts.records.transaction(body)
