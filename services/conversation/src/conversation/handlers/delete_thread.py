"""Delete a thread with everything in it."""

from contracts.ids import FACT

from conversation.domain.deletion import deletion_of
from conversation.domain.facts import thread_deleted
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def delete_thread(parts: Parts, user_id: str, thread_id: str) -> None:
    """Gone for everybody from the commit on. Then the relay purges the run log, which fences a worker out of an answer under
    way, and tells everybody; and handlers.finish_deletions deletes what is left anywhere, however often it must begin again.
    For the owner; a thread that is gone already is THREAD_NOT_FOUND."""

    async def body(writes: Writes) -> None:
        thread = await access_thread(writes, user_id, thread_id, "own")
        now = parts.now()
        deletion = deletion_of(
            thread,
            now,
            run_ids=await writes.open_run_ids(thread.id),
            schedule_ids=await writes.schedule_ids(thread.id),
            shadow_ids=await writes.shadow_ids(thread.id),
        )
        await writes.bury(thread, deletion)
        writes.say(thread_deleted(thread, parts.new_id(FACT), now))

    await parts.records.transaction(body)
