"""Begin a run that was held: its time has come, or what it queued behind is gone."""

from dataclasses import replace
from datetime import datetime

from contracts.ids import RUN

from conversation.domain.entities import OPEN, Run
from conversation.domain.queueing import is_open
from conversation.domain.refusals import known_id
from conversation.handlers.queueing import begin, runs_ahead
from conversation.ports import Parts, Writes


async def start_run(parts: Parts, run_id: str, *, due: bool) -> bool:
    """Whether it left its hold: to begin, or to queue behind what its thread answers just now. `due` says that its timer has
    fired, by the broker's clock, which may be ahead of this one. Idempotent."""
    known_id(RUN, run_id)

    async def body(writes: Writes) -> bool:
        run = await writes.run(run_id)
        if run is None or run.status not in OPEN or not run.held:
            return False
        now = parts.now()
        if run.held == "time":
            early = not due and run.start_at is not None and run.start_at > now
            return not early and await _take_turn(parts, writes, run, now)
        if is_open(await writes.run(run.behind)):
            return False
        await begin(parts, writes, run, now)
        return True

    return await parts.records.transaction(body)


async def _take_turn(parts: Parts, writes: Writes, run: Run, now: datetime) -> bool:
    thread = await writes.any_thread(run.thread_id)
    if thread is None:
        return False
    ahead = await runs_ahead(writes, thread)
    length = thread.length
    if run.floating:
        # It stood beside the branch; now it is the branch's next message, with places behind its new parent's.
        length += 2
        await writes.change_message(run.question_id, {"position": length - 1, "parent_message_id": thread.head})
        await writes.change_message(run.message_id, {"position": length})
    changed = replace(thread, updated_at=now, length=length, head=run.message_id, last_run=run.id)
    await writes.change_thread(changed, {"length": length, "head": run.message_id, "last_run": run.id})
    if ahead:
        await writes.change_run(run.id, {"held": "queue", "behind": ahead[0].id, "start_at": None})
        await writes.change_run(ahead[0].id, {"next_run": run.id})
    else:
        await begin(parts, writes, run, now)
    return True
