"""Tell the devices of everybody whom a fact concerns."""

import asyncio

from contracts.facts import Fact, ThreadDeleted

from notifier.domain.feed import entry_of, has_text
from notifier.ports import Feeds, Threads


async def deliver_fact(fact: Fact, feeds: Feeds, threads: Threads) -> int:
    """Put the fact into the feed of each of its audience; how many did not have it. Idempotent.

    A thread that is deleted leaves nothing in any feed but that it is: what was there is erased, and what another notifier
    adds at the same moment, or a late delivery, that one erases itself.
    Raises UnknownStatusError, InvalidIdError (never going to work) and what the ports raise (try again).
    """
    people = fact.told
    entries = [(user_id, entry_of(fact, user_id, watching=False)) for user_id in people]
    if any(entry.unread for _, entry in entries):
        watching = await threads.watched_by(fact.thread_id)
        entries = [(user_id, entry_of(fact, user_id, watching=user_id in watching)) for user_id in people]
    added = sum(await asyncio.gather(*(feeds.add(user_id, entry) for user_id, entry in entries)))
    if isinstance(fact, ThreadDeleted) or (
        # Only after it is stored: so either we see the deletion now, or whoever handles it sees our entry.
        any(has_text(entry) for _, entry in entries) and await threads.is_deleted(fact.thread_id)
    ):
        await asyncio.gather(*(feeds.forget(user_id, fact.thread_id) for user_id in people))
    return added
