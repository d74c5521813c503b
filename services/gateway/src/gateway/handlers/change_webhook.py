"""Create, change, rotate and delete webhooks. Everything that is wrong with one is refused with `webhook_invalid`."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from bus.errors import RevisionConflictError
from contracts.codes import Code
from contracts.ids import WEBHOOK, derived_id, new_id
from contracts.times import parse_rfc3339, rfc3339
from contracts.webhooks import EVENT_TYPES, MOST_WEBHOOKS, Secret, Webhook
from egress.urls import UrlRefusedError, check_url
from msgspec.structs import replace

from gateway.domain.problems import Refusal
from gateway.notice_ports import Notices, Webhooks

MOST_SECRETS: Final = 5
TRIES: Final = 5
SECRET_BYTES: Final = 32


async def create_webhook(
    notices: Notices,
    *,
    url: str,
    events: Sequence[str],
    description: str,
    enabled: bool,
    by: str,
    secret: bytes,
    now: datetime,
    key: str = "",
) -> Webhook:
    """A new subscription with its first secret, made from `secret`, which is random. Idempotent by the maker's `key`: the same
    request again gets the subscription as it is now. Raises Refusal."""
    check_address(notices, url)
    wanted = check_events(events)
    webhook_id, asked_hash = new_id(WEBHOOK), ""
    if key:
        webhook_id = derived_id(WEBHOOK, by, key)
        asked_hash = hashlib.sha256(msgspec.json.encode([url, wanted, description, enabled])).hexdigest()
        if (made := await _made_before(notices.webhooks, webhook_id, asked_hash)) is not None:
            return made
    if len(await notices.webhooks.all()) >= MOST_WEBHOOKS:
        raise Refusal(Code.LIMIT_REACHED, f"There are {MOST_WEBHOOKS} webhooks already; delete one first.")
    webhook = Webhook(
        id=webhook_id,
        url=url,
        events=wanted,
        enabled=enabled,
        description=description,
        secrets=[Secret(value=spelled(secret))],
        created_at=rfc3339(now),
        created_by=by,
        changed_at=rfc3339(now),
        asked_hash=asked_hash,
    )
    try:
        await notices.webhooks.put(webhook, expected=0)
    except RevisionConflictError:
        # Two at once with one key.
        made = await _made_before(notices.webhooks, webhook_id, asked_hash)
        if made is None:
            raise
        return made
    return webhook


async def change_webhook(
    notices: Notices,
    webhook_id: str,
    *,
    url: str | None,
    events: Sequence[str] | None,
    description: str | None,
    enabled: bool | None,
    now: datetime,
) -> Webhook:
    """Change what is given. What is queued goes to the new address. Enabled, it has no reason any more why it was not. Raises
    Refusal."""
    if url is not None:
        check_address(notices, url)
    wanted = None if events is None else check_events(events)

    def changed(webhook: Webhook) -> Webhook:
        return replace(
            webhook,
            url=webhook.url if url is None else url,
            events=webhook.events if wanted is None else wanted,
            description=webhook.description if description is None else description,
            enabled=webhook.enabled if enabled is None else enabled,
            disabled_reason="" if enabled else webhook.disabled_reason,
            changed_at=rfc3339(now),
        )

    return await _change(notices.webhooks, webhook_id, changed)


async def rotate_secret(
    notices: Notices, webhook_id: str, *, overlap: timedelta, secret: bytes, now: datetime
) -> Webhook:
    """A new secret; those before it sign as well until `overlap` has passed, so that the receiver can change over in between.
    Raises Refusal."""
    end = now + overlap

    def rotated(webhook: Webhook) -> Webhook:
        old = [_ending(kept, end) for kept in webhook.secrets if kept.until is None or parse_rfc3339(kept.until) > now]
        kept = [kept for kept in old if kept.until is not None and parse_rfc3339(kept.until) > now]
        secrets = [Secret(value=spelled(secret)), *kept][:MOST_SECRETS]
        return replace(webhook, secrets=secrets, changed_at=rfc3339(now))

    return await _change(notices.webhooks, webhook_id, rotated)


async def delete_webhook(notices: Notices, webhook_id: str, *, now: datetime) -> None:
    """Forget it with its secrets; what is queued for it is dropped. Raises Refusal."""
    await _change(
        notices.webhooks, webhook_id, lambda webhook: Webhook(id=webhook.id, deleted=True, changed_at=rfc3339(now))
    )


async def known_webhook(webhooks: Webhooks, webhook_id: str) -> Webhook:
    """The subscription; raises Refusal where there is none."""
    webhook, _ = await webhooks.get(webhook_id)
    if webhook is None:
        raise Refusal(Code.WEBHOOK_NOT_FOUND, "There is no such webhook.")
    return webhook


def check_enabled(webhook: Webhook) -> None:
    """Whether anything would be sent. Raises Refusal."""
    if not webhook.enabled:
        why = f" {webhook.disabled_reason}" if webhook.disabled_reason else ""
        raise Refusal(
            Code.WEBHOOK_INVALID, f"The webhook is not enabled, so nothing would be sent; enable it first.{why}"
        )


def check_address(notices: Notices, url: str) -> None:
    """Whether anything may be sent there, as far as that can be told now; a name's addresses are looked at when it is sent.
    Raises Refusal."""
    try:
        check_url(url, insecure=notices.insecure, allowed=notices.allowed)
    except UrlRefusedError as error:
        raise Refusal(Code.WEBHOOK_INVALID, f"The url is refused: {error}.") from error


def check_events(events: Sequence[str]) -> list[str]:
    """The event types, each once, in the catalogue's order. Raises Refusal."""
    unknown = [event for event in events if event not in EVENT_TYPES]
    if unknown:
        raise Refusal(
            Code.WEBHOOK_INVALID, f"There is no event type {unknown[0][:60]!r}; there are {', '.join(EVENT_TYPES)}."
        )
    if not events:
        raise Refusal(Code.WEBHOOK_INVALID, f"Name at least one event type of {', '.join(EVENT_TYPES)}.")
    return [event for event in EVENT_TYPES if event in events]


def spelled(secret: bytes) -> str:
    """A secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secret).decode()


async def _made_before(webhooks: Webhooks, webhook_id: str, asked_hash: str) -> Webhook | None:
    webhook, revision = await webhooks.get(webhook_id)
    if not revision:
        return None
    if webhook is None:
        raise Refusal(Code.WEBHOOK_NOT_FOUND, "The webhook that was made with this Idempotency-Key has been deleted.")
    if webhook.asked_hash != asked_hash:
        raise Refusal(
            Code.IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used for another webhook. Use a new key for a new one."
        )
    return webhook


def _ending(secret: Secret, end: datetime) -> Secret:
    if secret.until is not None and parse_rfc3339(secret.until) <= end:
        return secret
    return replace(secret, until=rfc3339(end))


async def _change(webhooks: Webhooks, webhook_id: str, change: Callable[[Webhook], Webhook]) -> Webhook:
    for _ in range(TRIES):
        webhook, revision = await webhooks.get(webhook_id)
        if webhook is None:
            raise Refusal(Code.WEBHOOK_NOT_FOUND, "There is no such webhook.")
        changed = change(webhook)
        try:
            await webhooks.put(changed, expected=revision)
        except RevisionConflictError:
            continue
        return changed
    raise Refusal(Code.REVISION_CONFLICT, "Others are changing this webhook; look at it and try again.")
