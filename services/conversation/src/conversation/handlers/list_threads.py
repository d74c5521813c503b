"""List a user's threads."""

from conversation.domain.entities import Thread
from conversation.domain.limits import page_size
from conversation.domain.pages import Page, ThreadKey, read_thread_key, write_thread_key
from conversation.handlers.access import check_user
from conversation.ports import Parts


async def list_threads(parts: Parts, user_id: str, *, archived: bool | None, cursor: str, limit: int) -> Page[Thread]:
    """A page of threads: pinned ones first, then the one updated last. `archived` None lists both kinds."""
    after = read_thread_key(cursor)
    size = page_size(limit, parts.limits)
    found = await parts.records.threads(check_user(user_id), archived=archived, after=after, limit=size + 1)
    items = found[:size]
    if len(found) <= size:
        return Page(items, "")
    last = items[-1]
    return Page(items, write_thread_key(ThreadKey(last.pinned, last.updated_at, last.id)))
