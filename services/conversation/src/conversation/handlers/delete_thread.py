"""Delete a thread with everything in it."""

from contracts.ids import FACT

from conversation.domain.facts import thread_deleted
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def delete_thread(parts: Parts, user_id: str, thread_id: str) -> None:
    """Delete messages and runs; then the relay purges the run log, which fences a worker out of an answer under way, and
    tells everybody. A thread that is gone already is THREAD_NOT_FOUND."""

    async def body(writes: Writes) -> None:
        thread = await access_thread(writes, user_id, thread_id)
        await writes.delete_thread(thread.id)
        writes.say(thread_deleted(thread.id, user_id, parts.new_id(FACT), parts.now()))

    await parts.records.transaction(body)
