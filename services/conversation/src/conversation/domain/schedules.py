"""Messages that are sent again and again, by a cron expression in a time zone."""

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Final

from contracts.codes import Code
from contracts.subjects import due_subject, timer_subject
from contracts.times import rfc3339

from conversation.domain.entities import Outgoing
from conversation.domain.refusals import RefusedError

MOST: Final = 20
"""Schedules of one thread."""
CRON_CHARACTERS: Final = 100
GRACE: Final = timedelta(seconds=30)
"""A timer that is later than this is taken for lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule. `next_at` is None where the expression names no time any more, and while it is paused; `last_refusal` says why
    the message was not accepted the last time. `user_id` is its author: who made it, changed what is sent, or when, or had it sent
    again after a pause, the last time; `roles` are theirs, then. `revision` counts what people change: that its time came changes nothing in it."""

    id: str
    thread_id: str
    user_id: str
    cron: str
    time_zone: str
    content: str
    created_at: datetime
    next_at: datetime | None
    model: str = ""
    agent: str = ""
    on_busy: str = ""
    roles: tuple[str, ...] = ()
    last_run_id: str = ""
    last_refusal: str = ""
    revision: int = 1
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """What somebody changes of a schedule; None: as it is."""

    cron: str | None = None
    time_zone: str | None = None
    content: str | None = None
    model: str | None = None
    agent: str | None = None
    on_busy: str | None = None
    paused: bool | None = None


def changed_by(schedule: Schedule, change: ScheduleChange, user_id: str, roles: tuple[str, ...]) -> Schedule:
    """The schedule after a change, without its next time; the same one where nothing changes. Whoever changes what is sent, or
    when, or ends a pause, is its author from then on: nobody has sent in another's name, with another's roles or at another's cost
    what that one did not write, or wanted sent no more."""
    values = {field.name: getattr(change, field.name) for field in fields(change)}
    given = {name: value for name, value in values.items() if value is not None and value != getattr(schedule, name)}
    if not given:
        return schedule
    if given != {"paused": True}:
        given |= {"user_id": user_id, "roles": roles}
    return replace(schedule, revision=schedule.revision + 1, **given)


def unknown_schedule() -> RefusedError:
    """What is said of an id that names no schedule of the thread."""
    return RefusedError(Code.SCHEDULE_NOT_FOUND, "There is no such schedule in this thread.")


def check_cron(cron: str) -> str:
    """The five fields with one blank between them: a sixth would be seconds, and so often nobody shall be sent a message."""
    fields = cron.split()
    if len(fields) != 5 or len(cron) > CRON_CHARACTERS:
        raise RefusedError(
            Code.SCHEDULE_INVALID,
            f"{cron[:CRON_CHARACTERS]!r} is no cron expression: minute, hour, day of the month, month, day of the week, "
            "such as 0 9 * * mon-fri.",
        )
    return " ".join(fields)


def timer_of(schedule: Schedule) -> Outgoing | None:
    """The timer for the next time, if there is one; it replaces the one before."""
    if schedule.next_at is None:
        return None
    return Outgoing(
        subject=timer_subject("schedule", schedule.id),
        payload=b"{}",
        message_id=f"{schedule.id}:{rfc3339(schedule.next_at)}",
        at=schedule.next_at,
        due=due_subject("schedule", schedule.id),
    )


def occasion_key(schedule: Schedule, moment: datetime) -> str:
    """The idempotency key of one time: it is accepted once, whoever tries."""
    return f"{schedule.id}:{rfc3339(moment)}"
