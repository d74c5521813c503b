"""The messages that an answer which goes on behind outputs belongs to: answers and outputs in turn, from the question on."""

from typing import Final

from contracts.client_tools import is_results
from contracts.codes import Code

from gateway.domain.problems import Refusal
from gateway.domain.records import Message
from gateway.domain.stored_log import parts_of
from gateway.ports import ClientThreads

NEWEST: Final = 50
"""Messages among which an answer nearly always is."""
PAGE: Final = 200
"""Messages read at a time of an older one."""


async def read_chain(
    threads: ClientThreads, user_id: str, thread_id: str, message_id: str, *, ahead: bool
) -> dict[str, Message]:
    """Messages by id, in the thread's order: with the answer, what leads to it from the question on, however long ago; with `ahead` what
    came behind it as well. Without the answer where the thread does not have it. Raises Refusal."""
    known = {message.id: message for message in await threads.last_messages(user_id, thread_id, limit=NEWEST)}
    if message_id not in known:
        known = await _leading_to(threads, user_id, thread_id, message_id)
        if known and ahead:
            known |= {message.id: message for message in await _behind(threads, user_id, thread_id, message_id)}
    at = known.get(message_id)
    while at is not None and at.parent_message_id:
        if at.parent_message_id not in known:
            known = await _leading_to(threads, user_id, thread_id, at.parent_message_id) | known
        at = known.get(at.parent_message_id)
        if at is not None and at.role != "assistant" and not is_results(at.role, parts_of(at)):
            break
    return known


async def _leading_to(threads: ClientThreads, user_id: str, thread_id: str, message_id: str) -> dict[str, Message]:
    try:
        found = await threads.leading_to(user_id, thread_id, message_id, limit=NEWEST)
    except Refusal as refusal:
        if refusal.code is not Code.MESSAGE_NOT_FOUND:
            raise
        return {}
    return {message.id: message for message in found}


async def _behind(threads: ClientThreads, user_id: str, thread_id: str, message_id: str) -> list[Message]:
    """Of people nothing: no answer goes on behind what they say."""
    kept: list[Message] = []
    cursor = ""
    while True:
        page, cursor = await threads.page_behind(user_id, thread_id, message_id, cursor=cursor, limit=PAGE)
        kept += [message for message in page if message.role in ("assistant", "tool")]
        if not cursor:
            return kept
