"""Facts as outgoing messages: one function per fact. The fact's id is its message id, so that it is stored once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from contracts import facts
from contracts.ids import FACT, derived_id
from contracts.run_state import RunState, Waiting
from contracts.subjects import fact_subject
from contracts.times import rfc3339

from conversation.domain.entities import Outgoing, Run, Thread
from conversation.domain.members import Member, audience

PREVIEW: Final = 200
"""Characters of an answer that a feed entry shows."""


def thread_created(thread: Thread, fact_id: str) -> Outgoing:
    """A thread exists."""
    return _outgoing(
        facts.ThreadCreated(
            id=fact_id, thread_id=thread.id, user_id=thread.user_id, at=rfc3339(thread.created_at), title=thread.title
        )
    )


def thread_updated(thread: Thread, changes: Mapping[str, Any], fact_id: str, now: datetime) -> Outgoing:
    """Something of a thread changed; `changes` has the new values."""
    return _outgoing(
        facts.ThreadUpdated(
            id=fact_id,
            thread_id=thread.id,
            user_id=thread.user_id,
            at=rfc3339(now),
            audience=list(audience(thread)),
            changes=dict(changes),
        )
    )


def thread_deleted(thread: Thread, fact_id: str, now: datetime) -> Outgoing:
    """A thread is gone. Its run log is purged before anybody is told."""
    fact = facts.ThreadDeleted(
        id=fact_id,
        thread_id=thread.id,
        user_id=thread.user_id,
        at=rfc3339(now),
        audience=list(audience(thread)),
    )
    return _outgoing(fact, purge=thread.id)


def thread_shared(thread: Thread, member: Member, fact_id: str, now: datetime) -> Outgoing:
    """Somebody joined; `thread` has them already."""
    return _outgoing(
        facts.ThreadShared(
            id=fact_id,
            thread_id=thread.id,
            user_id=thread.user_id,
            at=rfc3339(now),
            audience=list(audience(thread)),
            member_id=member.user_id,
            role=member.role,
            by=member.by,
            title=thread.title,
        )
    )


def member_changed(thread: Thread, member: Member, by: str, fact_id: str, now: datetime) -> Outgoing:
    """A member has another role."""
    return _role_changed(thread, member.user_id, member.role, by, fact_id, now)


def owner_changed(thread: Thread, before: str, fact_ids: tuple[str, str], now: datetime) -> tuple[Outgoing, Outgoing]:
    """The thread has another owner than `before`, who is an editor of it now: two who have another role."""
    return (
        _role_changed(thread, thread.user_id, "owner", before, fact_ids[0], now),
        _role_changed(thread, before, "editor", before, fact_ids[1], now),
    )


def _role_changed(thread: Thread, member_id: str, role: str, by: str, fact_id: str, now: datetime) -> Outgoing:
    return _outgoing(
        facts.ThreadMemberChanged(
            id=fact_id,
            thread_id=thread.id,
            user_id=thread.user_id,
            at=rfc3339(now),
            audience=list(audience(thread)),
            member_id=member_id,
            role=role,
            by=by,
        )
    )


def member_removed(thread: Thread, member_id: str, by: str, fact_id: str, now: datetime) -> Outgoing:
    """A member is out; `thread` no longer has them, but they are told as well."""
    return _outgoing(
        facts.ThreadMemberRemoved(
            id=fact_id,
            thread_id=thread.id,
            user_id=thread.user_id,
            at=rfc3339(now),
            audience=[*(audience(thread) or (thread.user_id,)), member_id],
            member_id=member_id,
            by=by,
        )
    )


def message_accepted(run: Run, fact_id: str) -> Outgoing:
    """A message, its pending answer and the run are stored."""
    return _outgoing(
        facts.MessageAccepted(
            id=fact_id,
            thread_id=run.thread_id,
            user_id=run.owner_id,
            at=rfc3339(run.created_at),
            audience=list(run.audience),
            message_id=run.question_id,
            assistant_message_id=run.message_id,
            run_id=run.id,
            by=run.user_id,
            run_at="" if run.start_at is None else rfc3339(run.start_at),
        )
    )


def run_ended(state: RunState, run: Run) -> Outgoing:
    """A run's result is stored. The id follows from the run's, so that telling it again is telling it once."""
    return _outgoing(
        facts.RunEnded(
            id=f"{FACT}_{run.id.partition('_')[2]}",
            thread_id=run.thread_id,
            user_id=run.owner_id,
            at=state.ended_at or "",
            audience=list(run.audience),
            run_id=run.id,
            message_id=run.message_id,
            status=state.status,
            code=state.error_code,
            preview=" ".join(state.content[: PREVIEW * 4].split())[:PREVIEW],
            by=state.cancelled_by or "",
        )
    )


def run_waiting(state: RunState, waiting: Waiting, run: Run) -> Outgoing:
    """A run waits. The id follows from the run's and the wait's, so that telling it again is telling it once."""
    return _outgoing(
        facts.RunWaiting(
            id=derived_id(FACT, run.id, "waiting", waiting.wait_id or waiting.since),
            thread_id=run.thread_id,
            user_id=run.owner_id,
            at=waiting.since or state.started_at or "",
            audience=list(run.audience),
            run_id=run.id,
            message_id=run.message_id,
            wait_id=waiting.wait_id,
            reason=waiting.reason,
            prompt=waiting.prompt[:PREVIEW],
            expires_at=waiting.expires_at,
        )
    )


def _outgoing(fact: facts.Fact, *, purge: str = "") -> Outgoing:
    kind = type(fact).__struct_config__.tag
    return Outgoing(
        subject=fact_subject(fact.thread_id, str(kind)),
        payload=facts.encode_fact(fact),
        message_id=fact.id,
        purge=purge,
    )
