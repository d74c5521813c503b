"""Carry deletions to their end, whatever died on the way."""

from dataclasses import replace
from typing import Final

import structlog

from conversation.domain.deletion import LEASE, Deletion
from conversation.lifetime_ports import LifetimeParts

logger = structlog.get_logger()
DELETIONS: Final = 20
"""In one sweep."""


async def finish_deletions(parts: LifetimeParts) -> int:
    """One pass over each deletion that is due; returns how many. Safe in several replicas and at any point of a crash: each
    step is idempotent, and a deletion is forgotten only after its last pass."""
    count = 0
    for deletion in await parts.graves.due(parts.now(), DELETIONS):
        taken = replace(deletion, next_at=parts.now() + LEASE)
        if await parts.graves.take(deletion, taken.next_at):
            await _pass(parts, taken)
            count += 1
    return count


async def _pass(parts: LifetimeParts, deletion: Deletion) -> None:
    documents = 0
    # The database first: what is not there any more can say nothing new to the broker.
    while cleared := await parts.graves.clear(deletion):
        documents += cleared
    entries = await parts.eraser.erase(deletion)
    logger.info(
        "thread.erased",
        thread_id=deletion.thread_id,
        deletion_pass=deletion.passes + 1,
        documents=documents,
        entries=entries,
    )
    left = deletion.after_pass(parts.now(), parts.settle)
    if left is None:
        await parts.graves.finish(deletion)
    else:
        await parts.graves.put_back(left)
