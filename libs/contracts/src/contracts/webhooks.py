"""Webhooks: what a subscription is, what is queued for it, how a delivery went. Kept on KV_webhooks, WEBHOOKS, WEBHOOK_RESULTS.

A delivery's id is its event's: however often and after whatever crash it is sent, the header `webhook-id` is the same.
What is sent has ids and states, never a text that a person or a model wrote.
"""

from typing import Any, Final, Literal

import msgspec

EVENT_TYPES: Final = (
    "thread.created",
    "thread.updated",
    "thread.deleted",
    "thread.shared",
    "thread.member_changed",
    "thread.member_removed",
    "message.accepted",
    "run.waiting",
    "run.completed",
    "run.failed",
    "run.cancelled",
)
"""What can be subscribed to."""
MOST_WEBHOOKS: Final = 100
"""How many there may be."""


class Secret(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A signing secret, `whsec_` and base64. `until` (RFC 3339 UTC) is when a rotated one stops signing."""

    value: str
    until: str | None = None


class Webhook(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A subscription. `secrets` has the current one first. `disabled_reason` is a sentence where nobody disabled it: its receiver
    said that it is gone. `deleted` leaves only the id: what is still queued is dropped. `asked_hash` is of the request that made
    it, where that had an idempotency key."""

    id: str
    url: str = ""
    events: list[str] = []
    enabled: bool = True
    disabled_reason: str = ""
    description: str = ""
    secrets: list[Secret] = []
    created_at: str = ""
    created_by: str = ""
    changed_at: str = ""
    deleted: bool = False
    asked_hash: str = ""


class WebhookEvent(msgspec.Struct, kw_only=True):
    """What a receiver gets, as JSON: the form of Standard Webhooks."""

    type: str
    timestamp: str
    data: dict[str, Any]


class WebhookWork(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One delivery that is due. `body` is the exact text to send; `generation` counts how often a dead one was sent again."""

    webhook_id: str
    event_id: str
    type: str
    at: str
    body: str
    generation: int = 0


DeliveryStatus = Literal["pending", "retrying", "delivered", "dead"]


class WebhookResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a delivery went so far, under `generation`. `response` is the last HTTP status, 0 where there was none; `error` a
    sentence; `work` what it takes to send it again, only of a dead one."""

    webhook_id: str
    event_id: str
    type: str
    at: str
    status: DeliveryStatus
    generation: int = 0
    attempts: int = 0
    attempted_at: str = ""
    next_attempt_at: str | None = None
    response: int = 0
    error: str = ""
    work: WebhookWork | None = None


encode: Final = msgspec.json.Encoder().encode
_webhook: Final = msgspec.json.Decoder(Webhook)
_work: Final = msgspec.json.Decoder(WebhookWork)
_result: Final = msgspec.json.Decoder(WebhookResult)


def decode_webhook(data: bytes) -> Webhook:
    """Read a subscription back; unknown fields are ignored; raises msgspec.MsgspecError."""
    return _webhook.decode(data)


def decode_work(data: bytes) -> WebhookWork:
    """Likewise a delivery that is due."""
    return _work.decode(data)


def decode_result(data: bytes) -> WebhookResult:
    """Likewise how one went."""
    return _result.decode(data)
