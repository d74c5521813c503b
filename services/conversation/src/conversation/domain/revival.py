"""A run whose command was lost must not stay pending: when it is looked at, and what is done then.

Its command can only be lost with the broker's own data (a rebuilt stream, a purge, a disk) or by ending as a dead letter;
the outbox covers everything before that.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

from contracts.run_state import RunState
from contracts.times import parse_rfc3339

from conversation.domain.entities import LEGACY, Run

MOST_REVIVALS: Final = 5
LONGEST_WAIT: Final = timedelta(minutes=16)
GRACE: Final = timedelta(minutes=2)
"""After its deadline a run still has this long for its end to be recorded."""

Decision = Literal["wait", "revive", "fail", "start"]


def next_check(run: Run, now: datetime, first: timedelta) -> datetime:
    """When to look again: twice as long after each revival."""
    return now + min(first * (2 << run.revivals), LONGEST_WAIT)


def decide(run: Run, now: datetime, *, command_waiting: bool) -> Decision:
    """What to do about an open run. While its command waits or is worked on there is nothing to do; a run revived too often,
    or long past its deadline, is failed so that it ends. One that is held is begun, if what holds it is gone."""
    if run.held:
        return "start"
    if run.path == LEGACY:
        # It lives with a request, at a gateway and a worker; where both died, nobody is left to record its end.
        return "fail" if now > run.deadline_at + GRACE else "wait"
    if command_waiting:
        return "wait"
    if run.revivals >= MOST_REVIVALS or now > run.deadline_at + GRACE:
        return "fail"
    return "revive"


def decide_by_log(run: Run, now: datetime, state: RunState) -> Decision:
    """The same for a run whose command is gone, knowing its log: while it waits, nobody needs to execute it, and the time
    that it waited is not counted. A wait that is long over has lost its timer."""
    waits = state.waiting
    if waits is not None and (waits.expires_at is None or now <= parse_rfc3339(waits.expires_at) + GRACE):
        return "wait"
    since = timedelta(0) if waits is None or not waits.since else now - parse_rfc3339(waits.since)
    waited = timedelta(milliseconds=state.waited_ms) + since
    return decide(replace(run, deadline_at=run.deadline_at + waited), now, command_waiting=False)
