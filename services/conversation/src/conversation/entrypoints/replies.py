"""Entities as the messages of proto/rpc/v1/conversation.proto."""

from datetime import datetime

import msgspec
from contracts.times import rfc3339
from contracts.usage import Usage
from rpc.v1 import conversation_pb2 as pb

from conversation.domain.entities import Message, Preferences, Run, Thread
from conversation.domain.members import role_of


def thread_reply(thread: Thread, user_id: str) -> pb.Thread:
    """A thread as one of those who are in it sees it."""
    return pb.Thread(
        id=thread.id,
        title=thread.title,
        model=thread.model,
        archived=thread.archived,
        pinned=thread.pinned,
        starred=thread.starred,
        tags=thread.tags,
        created_at=rfc3339(thread.created_at),
        updated_at=rfc3339(thread.updated_at),
        agent=thread.agent,
        on_busy=thread.on_busy,
        branch=thread.head,
        role=role_of(thread, user_id) or "",
        owner_id=thread.user_id,
        members=1 + len(thread.members),
        kind=thread.kind,
    )


def message_reply(message: Message) -> pb.Message:
    """A message."""
    return pb.Message(
        id=message.id,
        thread_id=message.thread_id,
        role=message.role,
        status=message.status,
        content=message.content,
        parts_json=msgspec.json.encode(message.parts),
        model=message.model,
        usage=_usage(message.usage),
        cost_microusd=message.cost_microusd,
        run_id=message.run_id,
        parent_message_id=message.parent_message_id,
        created_at=rfc3339(message.created_at),
        error_code=message.error_code,
        error_message=message.error_message,
        author=message.author,
        cancelled_by=message.cancelled_by,
    )


def run_reply(run: Run) -> pb.Run:
    """A run."""
    return pb.Run(
        id=run.id,
        thread_id=run.thread_id,
        message_id=run.message_id,
        model=run.model,
        path=run.path,
        status=run.status,
        created_at=rfc3339(run.created_at),
        ended_at=_moment(run.ended_at),
        recorded_at=_moment(run.recorded_at),
        usage=_usage(run.usage),
        cost_microusd=run.cost_microusd,
        error_code=run.error_code,
        error_message=run.error_message,
        final_sequence=run.final_sequence,
        attempts=run.attempts,
        question_id=run.question_id,
        client=run.client,
        agent=run.agent,
        run_at=_moment(run.start_at),
        author=run.user_id,
        cancelled_by=run.cancelled_by,
    )


def preferences_reply(preferences: Preferences) -> pb.Preferences:
    """Preferences."""
    return pb.Preferences(
        system_prompt=preferences.system_prompt, default_model=preferences.default_model, path=preferences.path
    )


def _usage(usage: Usage | None) -> pb.Usage | None:
    if usage is None:
        return None
    return pb.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=usage.estimated,
    )


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else rfc3339(moment)
