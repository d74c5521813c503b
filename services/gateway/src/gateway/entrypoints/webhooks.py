"""Webhooks for internal services: calls for administrators."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from contracts.codes import Code
from contracts.cursor import InvalidCursorError
from contracts.ids import FACT, WEBHOOK, InvalidIdError, check_id
from contracts.webhooks import EVENT_TYPES, Webhook, WebhookResult
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, StringConstraints

from gateway.domain.problems import Refusal
from gateway.entrypoints.admin import Admin
from gateway.entrypoints.keys import Key
from gateway.entrypoints.views import Body
from gateway.entrypoints.wiring import Wiring, wiring_of
from gateway.handlers.change_webhook import (
    SECRET_BYTES,
    change_webhook,
    create_webhook,
    delete_webhook,
    known_webhook,
    rotate_secret,
)
from gateway.handlers.replay_deliveries import MOST, replay_deliveries
from gateway.handlers.replay_delivery import replay_delivery
from gateway.notice_ports import Notices

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

Url = Annotated[str, StringConstraints(max_length=2048)]
Events = Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(max_length=50)]
Description = Annotated[str, StringConstraints(max_length=500)]


class CreateWebhook(Body):
    """A new subscription: where to, and which event types."""

    url: Url
    events: Events
    description: Description = ""
    enabled: bool = True


class ChangeWebhook(Body):
    """What to change; what is left out stays."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None


class RotateSecret(Body):
    """How long the secrets there are now go on signing beside the new one, in seconds."""

    overlap_seconds: Annotated[int, Field(ge=0, le=7 * 86400)] = 86400


class SecretView(BaseModel):
    """A secret by its last characters; `until` is when a rotated one stops signing."""

    ends_with: str
    until: str | None


class QueueView(BaseModel):
    """How many deliveries wait for a webhook, those that are tried again included, and how many may in any case. Beyond that
    (`full`), new ones wait only while little waits for others too; then they are dead at once, and can be sent again."""

    waiting: int
    share: int
    full: bool


class WebhookView(BaseModel):
    """A subscription. `secret` is shown once: when it is made. `disabled_reason` says why it is paused where nobody disabled it."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    description: str
    secrets: list[SecretView]
    secret: str | None = None
    created_at: str
    created_by: str
    changed_at: str
    queue: QueueView


class WebhookList(BaseModel):
    """All subscriptions, the oldest first. `event_types` is what can be subscribed to."""

    items: list[WebhookView]
    event_types: list[str]


class DeliveryView(BaseModel):
    """The delivery of one event. `id` is the event's, and the header `webhook-id`. `response` is the receiver's last HTTP
    status, null where there was none."""

    id: str
    webhook_id: str
    type: str
    timestamp: str
    status: Literal["pending", "retrying", "delivered", "dead"]
    attempts: int
    attempted_at: str | None
    next_attempt_at: str | None
    response: int | None
    error: str | None


class DeliveryList(BaseModel):
    """One page, in the order of the last change. `next_cursor` is null on the last one."""

    items: list[DeliveryView]
    next_cursor: str | None


class ReplayDeliveries(Body):
    """Which dead deliveries to send again: of one event type, of events since a time (RFC 3339), or all; `limit` at most."""

    event_type: Annotated[str, StringConstraints(max_length=100)] | None = None
    since: Annotated[str, StringConstraints(max_length=40)] | None = None
    cursor: Annotated[str, StringConstraints(max_length=40)] = ""
    limit: Annotated[int, Field(ge=1, le=MOST)] = MOST


class ReplayedView(BaseModel):
    """How many deliveries were queued by this call. `full`: more were not, since half of the webhook's share of the queue waits
    already; come back when less does. `next_cursor` is where the next call goes on, null where no dead one is left to look at."""

    queued: int
    full: bool
    next_cursor: str | None


def notices_of(wiring: Annotated[Wiring, Depends(wiring_of)]) -> Notices:
    """What these calls are built on."""
    if wiring.notices is None:
        raise Refusal(Code.NOT_FOUND, "This gateway has no notices.")
    return wiring.notices


def webhook_id_of(webhook_id: Annotated[str, Path()]) -> str:
    """The id out of the path; what cannot be an id names no webhook."""
    try:
        return check_id(WEBHOOK, webhook_id)
    except InvalidIdError as error:
        raise Refusal(Code.WEBHOOK_NOT_FOUND, "There is no such webhook.") from error


def delivery_id_of(delivery_id: Annotated[str, Path()]) -> str:
    """Likewise of a delivery."""
    try:
        return check_id(FACT, delivery_id)
    except InvalidIdError as error:
        raise Refusal(Code.DELIVERY_NOT_FOUND, "There is no such delivery.") from error


Behind = Annotated[Notices, Depends(notices_of)]
WebhookId = Annotated[str, Depends(webhook_id_of)]
DeliveryId = Annotated[str, Depends(delivery_id_of)]


@router.post("", status_code=201)
async def post_webhook(caller: Admin, notices: Behind, key: Key, body: CreateWebhook) -> WebhookView:
    """Subscribe a service to events. Keep the secret: it is not shown again, but to who repeats the request with its key. A key
    is kept as long as its webhook."""
    made = await create_webhook(
        notices,
        url=body.url,
        events=body.events,
        description=body.description,
        enabled=body.enabled,
        by=caller.user_id,
        secret=secrets.token_bytes(SECRET_BYTES),
        now=datetime.now(UTC),
        key=key,
    )
    # Nothing waits for it yet, and what could fail now would take the only sight of the secret with it.
    return _view(notices, made, 0, with_secret=True)


@router.get("")
async def list_webhooks(_: Admin, notices: Behind) -> WebhookList:
    """All subscriptions."""
    found = await notices.webhooks.all()
    items = await asyncio.gather(*(_looked_at(notices, webhook) for webhook in found))
    return WebhookList(items=items, event_types=list(EVENT_TYPES))


@router.get("/{webhook_id}")
async def get_webhook(_: Admin, notices: Behind, webhook_id: WebhookId) -> WebhookView:
    """One subscription."""
    return await _looked_at(notices, await known_webhook(notices.webhooks, webhook_id))


@router.patch("/{webhook_id}")
async def patch_webhook(_: Admin, notices: Behind, webhook_id: WebhookId, body: ChangeWebhook) -> WebhookView:
    """Change its address, event types, description, or whether it is enabled. While it is not, nothing new is queued for it,
    and what is queued waits."""
    changed = await change_webhook(
        notices,
        webhook_id,
        url=body.url,
        events=body.events,
        description=body.description,
        enabled=body.enabled,
        now=datetime.now(UTC),
    )
    return await _looked_at(notices, changed)


@router.delete("/{webhook_id}", status_code=204)
async def remove_webhook(_: Admin, notices: Behind, webhook_id: WebhookId) -> None:
    """Delete it; what is queued for it is dropped."""
    await delete_webhook(notices, webhook_id, now=datetime.now(UTC))


@router.post("/{webhook_id}/secret")
async def post_secret(
    _: Admin, notices: Behind, webhook_id: WebhookId, body: RotateSecret | None = None
) -> WebhookView:
    """Rotate the secret: the new one is shown once, the old one signs as well until the overlap is over. Sent again it makes
    another one."""
    overlap = timedelta(seconds=(body or RotateSecret()).overlap_seconds)
    # Before the secret is made, of which nothing that fails later may take the only sight.
    waiting = await notices.webhooks.waiting(webhook_id)
    rotated = await rotate_secret(
        notices, webhook_id, overlap=overlap, secret=secrets.token_bytes(SECRET_BYTES), now=datetime.now(UTC)
    )
    return _view(notices, rotated, waiting, with_secret=True)


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    _: Admin,
    notices: Behind,
    webhook_id: WebhookId,
    status: Annotated[Literal["", "pending", "retrying", "delivered", "dead"], Query(description="Only these.")] = "",
    cursor: Annotated[str, Query(max_length=40, description="`next_cursor` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Items per page.")] = 100,
) -> DeliveryList:
    """How its deliveries went, for thirty days."""
    await known_webhook(notices.webhooks, webhook_id)
    try:
        page = await notices.deliveries.page(webhook_id, status=status, cursor=cursor, limit=limit)
    except InvalidCursorError as error:
        raise Refusal(Code.CURSOR_INVALID, f"The cursor is {error}.") from error
    return DeliveryList(items=[_delivery(result) for result in page.items], next_cursor=page.next_cursor or None)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202)
async def post_replay(_: Admin, notices: Behind, webhook_id: WebhookId, delivery_id: DeliveryId) -> DeliveryView:
    """Send a dead delivery again, under the same id."""
    return _delivery(await replay_delivery(notices, webhook_id, delivery_id))


@router.post("/{webhook_id}/replay", status_code=202)
async def post_replays(
    _: Admin, notices: Behind, webhook_id: WebhookId, body: ReplayDeliveries | None = None
) -> ReplayedView:
    """Send its dead deliveries again, each under its id, as many as it has room for; says how many."""
    asked = body or ReplayDeliveries()
    try:
        replayed = await replay_deliveries(
            notices,
            webhook_id,
            since=asked.since,
            event_type=asked.event_type,
            cursor=asked.cursor,
            limit=asked.limit,
        )
    except InvalidCursorError as error:
        raise Refusal(Code.CURSOR_INVALID, f"The cursor is {error}.") from error
    return ReplayedView(queued=replayed.queued, full=replayed.full, next_cursor=replayed.next_cursor or None)


async def _looked_at(notices: Notices, webhook: Webhook) -> WebhookView:
    return _view(notices, webhook, await notices.webhooks.waiting(webhook.id))


def _view(notices: Notices, webhook: Webhook, waiting: int, *, with_secret: bool = False) -> WebhookView:
    return WebhookView(
        queue=QueueView(waiting=waiting, share=notices.share, full=waiting >= notices.share),
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason or None,
        description=webhook.description,
        secrets=[SecretView(ends_with=kept.value[-4:], until=kept.until) for kept in webhook.secrets],
        secret=webhook.secrets[0].value if with_secret else None,
        created_at=webhook.created_at,
        created_by=webhook.created_by,
        changed_at=webhook.changed_at,
    )


def _delivery(result: WebhookResult) -> DeliveryView:
    return DeliveryView(
        id=result.event_id,
        webhook_id=result.webhook_id,
        type=result.type,
        timestamp=result.at,
        status=result.status,
        attempts=result.attempts,
        attempted_at=result.attempted_at or None,
        next_attempt_at=result.next_attempt_at,
        response=result.response or None,
        error=result.error or None,
    )
