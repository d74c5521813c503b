"""From a fact to the feed entry that tells one person's devices about it."""

from dataclasses import dataclass
from typing import Any, Final

from contracts.facts import (
    Fact,
    FeedEntry,
    MessageAccepted,
    RunEnded,
    RunWaiting,
    ThreadCreated,
    ThreadDeleted,
    ThreadMemberChanged,
    ThreadMemberRemoved,
    ThreadShared,
    ThreadUpdated,
)

RUN_ENDED: Final = {"complete": "run.completed", "error": "run.failed", "cancelled": "run.cancelled"}


class UnknownStatusError(ValueError):
    """The fact tells of an end that this version does not know; it was written by a newer one."""


@dataclass(frozen=True, slots=True)
class _Content:
    """What an entry says beside its head, and whose unread count it may raise."""

    fields: dict[str, Any]
    counts_for_all: bool = False
    counts_for: str = ""


def event_type_of(fact: Fact) -> str:
    """What the fact is called outside: in webhooks, and in feeds but for threads, which have just `changed`. Raises
    UnknownStatusError."""
    if isinstance(fact, RunEnded):
        try:
            return RUN_ENDED[fact.status]
        except KeyError:
            raise UnknownStatusError(f"run.ended {fact.id} has the status {fact.status[:40]!r}") from None
    return str(type(fact).__struct_config__.tag)


def entry_of(fact: Fact, user_id: str, *, watching: bool) -> FeedEntry:
    """The entry for one fact in one user's feed. It keeps the fact's id, so that the same fact always gives the same entry.

    It raises the unread count of its thread where it tells something new that somebody else, or a model, did, unless the
    user is `watching` the thread. Raises UnknownStatusError.
    """
    kind = event_type_of(fact)
    if isinstance(fact, ThreadCreated | ThreadUpdated):
        kind = "thread.changed"
    content = _content_of(fact, kind, user_id)
    counts = content.counts_for_all or content.counts_for == user_id
    return FeedEntry(
        id=fact.id,
        type=kind,
        thread_id=fact.thread_id,
        at=fact.at,
        unread=counts and not watching,
        **content.fields,
    )


def has_text(entry: FeedEntry) -> bool:
    """Whether the entry holds something that a person or a model wrote."""
    return bool(entry.preview or entry.prompt or entry.changes)


def _content_of(fact: Fact, kind: str, user_id: str) -> _Content:
    match fact:
        case ThreadCreated():
            return _Content({"changes": {"title": fact.title}})
        case ThreadUpdated():
            return _Content({"changes": fact.changes})
        case ThreadDeleted():
            return _Content({})
        case ThreadShared():
            changes = {"member_id": fact.member_id, "role": fact.role, "title": fact.title}
            return _Content({"changes": changes, "by": fact.by}, counts_for=fact.member_id)
        case ThreadMemberChanged():
            return _Content({"changes": {"member_id": fact.member_id, "role": fact.role}, "by": fact.by})
        case ThreadMemberRemoved():
            return _Content({"changes": {"member_id": fact.member_id}, "by": fact.by})
        case MessageAccepted():
            fields = {"run_id": fact.run_id, "message_id": fact.message_id, "by": fact.by, "run_at": fact.run_at}
            return _Content(fields, counts_for_all=fact.by not in ("", user_id))
        case RunWaiting():
            fields = {"run_id": fact.run_id, "message_id": fact.message_id, "wait_id": fact.wait_id}
            fields |= {"reason": fact.reason, "prompt": fact.prompt, "expires_at": fact.expires_at or ""}
            # A timer asks nothing of anybody.
            return _Content({k: v for k, v in fields.items() if v}, counts_for_all=fact.reason != "timer")
        case RunEnded():
            return _Content(
                {
                    "run_id": fact.run_id,
                    "message_id": fact.message_id,
                    "code": fact.code,
                    "preview": fact.preview,
                    "by": fact.by,
                },
                counts_for_all=kind != "run.cancelled",
            )
