"""Send what a schedule says, if its time has come, and set the timer for the next time."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from contracts.times import rfc3339

from conversation.domain.acceptance import NewMessage
from conversation.domain.entities import DURABLE
from conversation.domain.refusals import RefusedError
from conversation.domain.schedules import GRACE, Schedule, occasion_key, timer_of
from conversation.handlers.accept_message import accept_message
from conversation.ports import Parts, Writes

EARLY: Final = timedelta(seconds=5)
"""How far this process's clock may be behind the broker's."""
AT_ONCE: Final = 100


async def run_schedule(parts: Parts, schedule_id: str) -> None:
    """Idempotent: each time is accepted once, by its key, and passed once, by compare-and-set. Times that went by while nobody
    could send are sent once, together."""
    schedule = await parts.records.schedule(schedule_id)
    if schedule is None or schedule.next_at is None or schedule.next_at > parts.now() + EARLY:
        return
    message = NewMessage(
        user_id=schedule.user_id,
        thread_id=schedule.thread_id,
        content=schedule.content,
        path=DURABLE,
        model=schedule.model,
        idempotency_key=occasion_key(schedule, schedule.next_at),
        body_hash=schedule.id.encode(),
        agent=schedule.agent,
        on_busy=schedule.on_busy,
        roles=schedule.roles,
    )
    run_id, refusal = schedule.last_run_id, ""
    try:
        run_id = (await accept_message(parts, message)).run_id
    except RefusedError as error:
        refusal = f"{rfc3339(schedule.next_at)}: {error.sentence}"
    after = max(parts.now(), schedule.next_at)
    changed = replace(
        schedule,
        next_at=parts.calendar.next_after(schedule.cron, schedule.time_zone, after),
        last_run_id=run_id,
        last_refusal=refusal,
    )
    await _pass_on(parts, schedule, changed)


async def run_overdue_schedules(parts: Parts) -> int:
    """Those whose timer was lost with the broker's data; returns how many."""
    overdue = await parts.records.overdue_schedules(parts.now() - GRACE, AT_ONCE)
    for schedule in overdue:
        await run_schedule(parts, schedule.id)
    return len(overdue)


async def _pass_on(parts: Parts, schedule: Schedule, changed: Schedule) -> None:
    async def body(writes: Writes) -> None:
        if await writes.advance_schedule(schedule, changed) and (timer := timer_of(changed)) is not None:
            writes.say(timer)

    await parts.records.transaction(body)
