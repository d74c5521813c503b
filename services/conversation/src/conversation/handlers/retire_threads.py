"""Delete threads that are kept no longer, a bounded piece at a time."""

from typing import Final

from contracts.ids import FACT

from conversation.domain.deletion import deletion_of
from conversation.domain.entities import Thread
from conversation.domain.facts import thread_deleted
from conversation.lifetime_ports import BurialWrites, LifetimeParts

PIECE: Final = 1_000
"""Threads that are looked at in one step."""
MOST: Final = 50
"""Threads that are deleted in one step; the next one goes on where it stopped."""


async def retire_threads(parts: LifetimeParts, after: str) -> tuple[str, int]:
    """Look at the threads behind `after`; returns where to go on (empty: from the beginning) and how many were deleted. A
    thread with an answer under way stays."""
    if not parts.kept:
        return "", 0
    found = await parts.graves.threads_after(after, PIECE)
    deleted = 0
    for thread in found:
        if _is_over(parts, thread):
            deleted += await _delete(parts, thread.id)
            if deleted >= MOST:
                return thread.id, deleted
    return (found[-1].id if len(found) == PIECE else ""), deleted


def _is_over(parts: LifetimeParts, thread: Thread) -> bool:
    kept = parts.kept.get(thread.kind)
    return kept is not None and thread.updated_at + kept < parts.now()


async def _delete(parts: LifetimeParts, thread_id: str) -> bool:
    async def body(writes: BurialWrites) -> bool:
        thread = await writes.any_thread(thread_id)
        # Once more in the transaction: somebody may have written, or deleted it, meanwhile.
        if thread is None or not _is_over(parts, thread) or await writes.open_run_ids(thread_id):
            return False
        now = parts.now()
        schedule_ids, shadow_ids = await writes.schedule_ids(thread_id), await writes.shadow_ids(thread_id)
        await writes.bury(thread, deletion_of(thread, now, schedule_ids=schedule_ids, shadow_ids=shadow_ids))
        writes.say(thread_deleted(thread, parts.new_id(FACT), now))
        return True

    return await parts.graves.transaction(body)
