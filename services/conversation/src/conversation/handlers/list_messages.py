"""List a thread's messages."""

from contracts.ids import MESSAGE

from conversation.domain.branches import ACTIVE, Tree
from conversation.domain.entities import Message, Thread
from conversation.domain.limits import page_size
from conversation.domain.pages import Page, read_position, write_position
from conversation.domain.refusals import known_id, not_found
from conversation.handlers.access import access_thread
from conversation.ports import Parts


async def list_messages(
    parts: Parts,
    user_id: str,
    thread_id: str,
    *,
    cursor: str,
    limit: int,
    from_end: bool = False,
    branch: str = "",
    path_to: str = "",
    behind: str = "",
) -> Page[Message]:
    """A page of messages, oldest first; with `from_end` the last ones; with `branch` only those along it. `path_to` gives the last of
    those that lead to a message, `behind` those that came later than one. A running answer has the content of its last checkpoint;
    its log knows more."""
    after = read_position(cursor)
    thread = await access_thread(parts, user_id, thread_id)
    size = page_size(limit, parts.limits)
    if path_to:
        return await _leading_to(parts, thread, path_to, size)
    if branch:
        return await _along(parts, thread, branch, after, size, from_end and not cursor)
    if behind and not cursor:
        after = await _position_of(parts, thread, behind)
    elif from_end and not cursor:
        after = max(0, thread.length - size)
    found = await parts.records.messages(thread.id, after=after, limit=size + 1)
    items = found[:size]
    return Page(items, write_position(items[-1].position) if len(found) > size else "")


async def _leading_to(parts: Parts, thread: Thread, message_id: str, size: int) -> Page[Message]:
    path = Tree(await parts.records.stubs(thread.id)).path(known_id(MESSAGE, message_id))
    if not path:
        raise not_found(MESSAGE)
    return Page(await parts.records.messages_of([stub.id for stub in path[-size:]]), "")


async def _position_of(parts: Parts, thread: Thread, message_id: str) -> int:
    found = await parts.records.message(known_id(MESSAGE, message_id))
    if found is None or found.thread_id != thread.id:
        raise not_found(MESSAGE)
    return found.position


async def _along(parts: Parts, thread: Thread, branch: str, after: int, size: int, from_end: bool) -> Page[Message]:
    if branch == ACTIVE and not thread.head:
        return Page([], "")
    tree = Tree(await parts.records.stubs(thread.id))
    ahead = [stub for stub in tree.path(tree.branch(branch, thread).head) if stub.position > after]
    page = ahead[-size:] if from_end else ahead[:size]
    items = await parts.records.messages_of([stub.id for stub in page])
    more = bool(page) and page[-1] is not ahead[-1]
    return Page(items, write_position(page[-1].position) if more else "")
