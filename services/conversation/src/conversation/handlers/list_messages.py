"""List a thread's messages."""

from conversation.domain.entities import Message
from conversation.domain.limits import page_size
from conversation.domain.pages import Page, read_position, write_position
from conversation.handlers.access import access_thread
from conversation.ports import Parts


async def list_messages(
    parts: Parts, user_id: str, thread_id: str, *, cursor: str, limit: int, from_end: bool = False
) -> Page[Message]:
    """A page of messages, oldest first; with `from_end` the last ones. A running answer has the content of its last
    checkpoint; its log knows more."""
    after = read_position(cursor)
    thread = await access_thread(parts, user_id, thread_id)
    size = page_size(limit, parts.limits)
    if from_end and not cursor:
        after = max(0, thread.length - size)
    found = await parts.records.messages(thread.id, after=after, limit=size + 1)
    items = found[:size]
    return Page(items, write_position(items[-1].position) if len(found) > size else "")
