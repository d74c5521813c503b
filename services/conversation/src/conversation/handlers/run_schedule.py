"""Send what a schedule says, if its time has come, and set the timer for the next time."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from contracts.times import rfc3339

from conversation.domain.acceptance import Accepted, NewMessage
from conversation.domain.entities import DURABLE
from conversation.domain.refusals import RefusedError
from conversation.domain.schedules import GRACE, Schedule, occasion_key, timer_of
from conversation.handlers.accept_message import accept_message
from conversation.ports import Parts, Writes

EARLY: Final = timedelta(seconds=5)
"""How far this process's clock may be behind the broker's."""
AT_ONCE: Final = 100
MOST_LOOKS: Final = 5
"""How often people may change it while its message is being sent; after that the sweep takes it up."""


async def run_schedule(parts: Parts, schedule_id: str) -> None:
    """Idempotent: each time is accepted once, by its key, and passed by in the same transaction. So what is paused, changed or
    deleted before that is not sent as it was, and what is sent was neither. Times that went by while nobody could send are sent
    once, together."""
    for _ in range(MOST_LOOKS):
        schedule = await parts.records.schedule(schedule_id)
        # A timer of before a change, or of two changes at once, may come too early; the sweep knows the right time.
        if schedule is None or schedule.next_at is None or schedule.next_at > parts.now() + EARLY:
            return
        try:
            await _send(parts, schedule, schedule.next_at)
        except _MovedError:
            continue
        return


async def run_overdue_schedules(parts: Parts) -> int:
    """Those whose timer was lost with the broker's data; returns how many."""
    overdue = await parts.records.overdue_schedules(parts.now() - GRACE, AT_ONCE)
    for schedule in overdue:
        await run_schedule(parts, schedule.id)
    return len(overdue)


class _MovedError(Exception):
    """Its time was passed, or somebody changed or deleted it, since it was read."""


async def _send(parts: Parts, schedule: Schedule, moment: datetime) -> None:
    message = NewMessage(
        user_id=schedule.user_id,
        thread_id=schedule.thread_id,
        content=schedule.content,
        path=DURABLE,
        model=schedule.model,
        idempotency_key=occasion_key(schedule, moment),
        body_hash=schedule.id.encode(),
        agent=schedule.agent,
        on_busy=schedule.on_busy,
        roles=schedule.roles,
    )
    next_at = parts.calendar.next_after(schedule.cron, schedule.time_zone, max(parts.now(), moment))
    passed = replace(schedule, next_at=next_at)

    async def sent(writes: Writes, accepted: Accepted) -> None:
        await _pass_on(writes, schedule, replace(passed, last_run_id=accepted.run_id, last_refusal=""))

    try:
        await accept_message(parts, message, sent)
    except RefusedError as error:
        refused = replace(passed, last_refusal=f"{rfc3339(moment)}: {error.sentence}")
        await parts.records.transaction(lambda writes: _pass_on(writes, schedule, refused))


async def _pass_on(writes: Writes, schedule: Schedule, changed: Schedule) -> None:
    if not await writes.advance_schedule(schedule, changed):
        raise _MovedError
    if (timer := timer_of(changed)) is not None:
        writes.say(timer)
