"""List runs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from conversation.domain.entities import Run
from conversation.domain.limits import page_size
from conversation.handlers.access import access_thread, check_user
from conversation.ports import Parts

WEEK: Final = timedelta(days=7)


async def list_runs(parts: Parts, user_id: str, thread_id: str, limit: int) -> Sequence[Run]:
    """The newest runs of a thread that the user is in; without one, those of the last week that answer the user's messages, in
    threads that the user is still in."""
    check_user(user_id)
    size = page_size(limit, parts.limits)
    if thread_id:
        since = (await access_thread(parts, user_id, thread_id)).created_at
        return await parts.records.runs(user_id, thread_id, since, size)
    found = await parts.records.runs(user_id, "", parts.now() - WEEK, size)
    threads = {run.thread_id for run in found}
    left = {id for id in threads if await parts.records.thread(user_id, id) is None}
    return [run for run in found if run.thread_id not in left]
