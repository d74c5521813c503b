"""From a fact to what webhooks get: ids and states, never a text that a person or a model wrote."""

from typing import Any

import msgspec
from contracts.facts import (
    Fact,
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
from contracts.webhooks import WebhookEvent, WebhookWork

from notifier.domain.feed import event_type_of


def work_of(fact: Fact, webhook_id: str) -> WebhookWork:
    """The delivery of a fact to one webhook: the same bytes and the same id whenever it is made. Raises UnknownStatusError."""
    kind = event_type_of(fact)
    event = WebhookEvent(type=kind, timestamp=fact.at, data=_data_of(fact))
    body = msgspec.json.encode(event).decode()
    return WebhookWork(webhook_id=webhook_id, event_id=fact.id, type=kind, at=fact.at, body=body)


def _data_of(fact: Fact) -> dict[str, Any]:
    data: dict[str, Any] = {"thread_id": fact.thread_id, "user_id": fact.user_id}
    match fact:
        case ThreadCreated() | ThreadDeleted():
            return data
        case ThreadUpdated():
            return data | {"changed": sorted(fact.changes)}
        case ThreadShared() | ThreadMemberChanged():
            return data | {"member_id": fact.member_id, "role": fact.role, "by": fact.by}
        case ThreadMemberRemoved():
            return data | {"member_id": fact.member_id, "by": fact.by}
        case MessageAccepted():
            return data | {
                "message_id": fact.message_id,
                "assistant_message_id": fact.assistant_message_id,
                "run_id": fact.run_id,
                "by": fact.by or fact.user_id,
            }
        case RunWaiting():
            return data | {
                "run_id": fact.run_id,
                "message_id": fact.message_id,
                "wait_id": fact.wait_id,
                "reason": fact.reason,
                "expires_at": fact.expires_at,
            }
        case RunEnded():
            ended = {"run_id": fact.run_id, "message_id": fact.message_id, "status": fact.status}
            return data | ended | ({"code": fact.code} if fact.code else {})
