"""Make a schedule."""

from contracts.codes import Code
from contracts.ids import SCHEDULE

from conversation.domain.limits import check_agent, check_content
from conversation.domain.queueing import check_policy
from conversation.domain.refusals import RefusedError, unknown_model
from conversation.domain.schedules import MOST, Schedule, check_cron, timer_of
from conversation.handlers.access import access_thread
from conversation.handlers.repeating import request_of
from conversation.ports import Parts, Writes


async def create_schedule(
    parts: Parts,
    user_id: str,
    thread_id: str,
    *,
    cron: str,
    time_zone: str,
    content: str,
    model: str,
    agent: str,
    on_busy: str,
    roles: tuple[str, ...],
    key: str = "",
) -> Schedule:
    """A new schedule of the thread, its first timer in the same transaction. Idempotent by `key`."""
    asked = (thread_id, cron, time_zone, content, model, agent, on_busy)
    request = request_of(parts.limits, user_id, key, "CreateSchedule", *asked)
    cron = check_cron(cron)
    check_content(content, parts.limits)
    if model and parts.registry.find(model) is None:
        raise unknown_model(model)
    now = parts.now()
    next_at = parts.calendar.next_after(cron, time_zone or "UTC", now)
    if next_at is None:
        raise RefusedError(Code.SCHEDULE_INVALID, f"{cron!r} names no time that will ever come.")
    schedule = Schedule(
        id=parts.new_id(SCHEDULE),
        thread_id=thread_id,
        user_id=user_id,
        cron=cron,
        time_zone=time_zone or "UTC",
        content=content,
        created_at=now,
        next_at=next_at,
        model=model,
        agent=check_agent(agent),
        on_busy=check_policy(on_busy),
        roles=roles,
    )

    async def body(writes: Writes) -> Schedule:
        thread = await access_thread(writes, user_id, thread_id, "write")
        if (made := await request.made_schedule(writes)) is not None:
            return made
        if len(await writes.schedules(thread.id)) >= MOST:
            raise RefusedError(Code.LIMIT_REACHED, f"A thread has at most {MOST} schedules; delete one first.")
        await request.remember(writes, thread.id, schedule.id, now)
        await writes.add_schedule(schedule)
        timer = timer_of(schedule)
        if timer is not None:
            writes.say(timer)
        return schedule

    return await parts.records.transaction(body)
