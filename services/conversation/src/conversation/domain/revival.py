"""A run whose command was lost must not stay pending: when it is looked at, and what is done then.

Its command can only be lost with the broker's own data (a rebuilt stream, a purge, a disk) or by ending as a dead letter;
the outbox covers everything before that.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

from conversation.domain.entities import LEGACY, Run

MOST_REVIVALS: Final = 5
LONGEST_WAIT: Final = timedelta(minutes=16)
GRACE: Final = timedelta(minutes=2)
"""After its deadline a run still has this long for its end to be recorded."""

Decision = Literal["wait", "revive", "fail"]


def next_check(run: Run, now: datetime, first: timedelta) -> datetime:
    """When to look again: twice as long after each revival."""
    return now + min(first * (2 << run.revivals), LONGEST_WAIT)


def decide(run: Run, now: datetime, *, command_waiting: bool) -> Decision:
    """What to do about an open run. While its command waits or is worked on there is nothing to do; a run revived too often,
    or long past its deadline, is failed so that it ends."""
    if run.path == LEGACY:
        # It lives with a request, at a gateway and a worker; where both died, nobody is left to record its end.
        return "fail" if now > run.deadline_at + GRACE else "wait"
    if command_waiting:
        return "wait"
    if run.revivals >= MOST_REVIVALS or now > run.deadline_at + GRACE:
        return "fail"
    return "revive"
