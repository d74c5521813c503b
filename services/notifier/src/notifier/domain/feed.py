"""From a fact to the feed entry that tells its owner's devices about it."""

from typing import Final

from contracts.facts import (
    Fact,
    FeedEntry,
    MessageAccepted,
    RunEnded,
    ThreadCreated,
    ThreadDeleted,
    ThreadMemberChanged,
    ThreadMemberRemoved,
    ThreadShared,
    ThreadUpdated,
)

_RUN_ENDED: Final = {"complete": "run.completed", "error": "run.failed", "cancelled": "run.cancelled"}


class UnknownStatusError(ValueError):
    """The fact tells of an end that this version does not know; it was written by a newer one."""


def entry_of(fact: Fact) -> FeedEntry:
    """The entry for one fact. It keeps the fact's id, so that the same fact always gives the same entry.

    Raises UnknownStatusError.
    """
    match fact:
        case ThreadCreated():
            return FeedEntry(
                id=fact.id, type="thread.changed", thread_id=fact.thread_id, at=fact.at, changes={"title": fact.title}
            )
        case ThreadUpdated():
            return FeedEntry(
                id=fact.id, type="thread.changed", thread_id=fact.thread_id, at=fact.at, changes=fact.changes
            )
        case ThreadDeleted():
            return FeedEntry(id=fact.id, type="thread.deleted", thread_id=fact.thread_id, at=fact.at)
        case ThreadShared() | ThreadMemberChanged():
            return FeedEntry(
                id=fact.id,
                type="thread.shared" if isinstance(fact, ThreadShared) else "thread.member_changed",
                thread_id=fact.thread_id,
                at=fact.at,
                changes={"member_id": fact.member_id, "role": fact.role},
            )
        case ThreadMemberRemoved():
            return FeedEntry(
                id=fact.id,
                type="thread.member_removed",
                thread_id=fact.thread_id,
                at=fact.at,
                changes={"member_id": fact.member_id},
            )
        case MessageAccepted():
            return FeedEntry(
                id=fact.id,
                type="message.accepted",
                thread_id=fact.thread_id,
                at=fact.at,
                run_id=fact.run_id,
                message_id=fact.message_id,
            )
        case RunEnded():
            return FeedEntry(
                id=fact.id,
                type=_type_of_end(fact),
                thread_id=fact.thread_id,
                at=fact.at,
                run_id=fact.run_id,
                message_id=fact.message_id,
                code=fact.code,
                preview=fact.preview,
            )


def _type_of_end(fact: RunEnded) -> str:
    try:
        return _RUN_ENDED[fact.status]
    except KeyError:
        raise UnknownStatusError(f"run.ended {fact.id} has the status {fact.status[:40]!r}") from None
