"""Say what a user has read."""

from contracts.cursor import Cursor

from gateway.domain.unread import Unread
from gateway.notice_ports import Feeds
from gateway.ports import Conversation


async def mark_read(
    conversation: Conversation, feeds: Feeds, user_id: str, thread_id: str, up_to: Cursor | None
) -> Unread:
    """The thread's feed entries up to `up_to`, or all there are now, are read; what is unread after that. Where nothing was
    unread nothing is written, so repeating it costs nothing. Raises Refusal, UnavailableError."""
    await conversation.get_thread(user_id, thread_id)
    unread = await feeds.unread(user_id)
    limit = unread.up_to if up_to is None else min(up_to.stream_sequence, unread.up_to)
    waiting = unread.entries.get(thread_id, [])
    if not waiting or waiting[0] > limit:
        return unread
    await feeds.mark_read(user_id, thread_id, limit)
    return await feeds.unread(user_id)
