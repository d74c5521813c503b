"""Change a schedule: what it sends and when, or whether it is paused."""

from dataclasses import replace

from contracts.codes import Code
from contracts.ids import SCHEDULE, InvalidIdError, check_id

from conversation.domain.limits import check_agent, check_content
from conversation.domain.queueing import check_policy
from conversation.domain.refusals import RefusedError, unknown_model
from conversation.domain.schedules import Schedule, ScheduleChange, changed_by, check_cron, timer_of, unknown_schedule
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def update_schedule(
    parts: Parts,
    user_id: str,
    thread_id: str,
    schedule_id: str,
    change: ScheduleChange,
    *,
    expected_revision: int,
    roles: tuple[str, ...],
) -> Schedule:
    """The schedule as it is now. Refused where somebody else changed it since `expected_revision`; a change that changes nothing
    is not, so that a call may be repeated. From the commit on nothing is sent as it was before: a time of it that comes at the
    same moment is either before that, and stands in `last_run_id`, or finds the change."""
    try:
        check_id(SCHEDULE, schedule_id)
    except InvalidIdError:
        raise unknown_schedule() from None
    if change.cron is not None:
        change = replace(change, cron=check_cron(change.cron))
    if change.time_zone == "":
        change = replace(change, time_zone="UTC")
    if change.content is not None:
        check_content(change.content, parts.limits)
    if change.model and parts.registry.find(change.model) is None:
        raise unknown_model(change.model)
    check_agent(change.agent or "")
    check_policy(change.on_busy or "")

    async def body(writes: Writes) -> Schedule:
        thread = await access_thread(writes, user_id, thread_id, "write")
        schedule = await writes.schedule(schedule_id)
        if schedule is None or schedule.thread_id != thread.id:
            raise unknown_schedule()
        changed = changed_by(schedule, change, user_id, roles)
        if changed == schedule:
            return schedule
        if expected_revision != schedule.revision:
            raise RefusedError(
                Code.REVISION_CONFLICT,
                f"Somebody else changed this schedule: its revision is {schedule.revision}, not {expected_revision}. Nothing was "
                "changed; read it again and decide anew.",
            )
        changed = _with_next_time(parts, schedule, changed)
        await writes.change_schedule(schedule, changed)
        # A timer that is set already fires once more and finds nothing to do.
        if changed.next_at != schedule.next_at and (timer := timer_of(changed)) is not None:
            writes.say(timer)
        return changed

    return await parts.records.transaction(body)


def _with_next_time(parts: Parts, schedule: Schedule, changed: Schedule) -> Schedule:
    if (changed.cron, changed.time_zone, changed.paused) == (schedule.cron, schedule.time_zone, schedule.paused):
        return changed
    next_at = parts.calendar.next_after(changed.cron, changed.time_zone, parts.now())
    if next_at is None and not (changed.paused and changed.cron == schedule.cron):
        raise RefusedError(Code.SCHEDULE_INVALID, f"{changed.cron!r} names no time that will ever come.")
    return replace(changed, next_at=None if changed.paused else next_at)
