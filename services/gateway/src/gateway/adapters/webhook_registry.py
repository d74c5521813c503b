"""Webhooks and their deliveries on the broker: the bucket KV_webhooks, the queue WEBHOOKS, the results WEBHOOK_RESULTS."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import structlog
from bus.errors import RevisionConflictError
from bus.key_values import KeyValues
from bus.looking import Looking
from contracts.cursor import InvalidCursorError
from contracts.subjects import WEBHOOK_VALUES, webhook_result_subject, webhook_subject, webhook_work_subject
from contracts.topology import WEBHOOK_RESULTS, WEBHOOK_WORK, WEBHOOKS, webhook_consumer
from contracts.webhooks import Webhook, WebhookResult, WebhookWork, decode_result, decode_webhook, decode_work, encode

from gateway.notice_ports import DeliveryPage

logger = structlog.get_logger()

TRIES: Final = 5
SCANNED: Final = 5000
"""How many entries one page looks at, where few of them have the status that is asked for."""


class Broker(KeyValues, Looking, Protocol):
    """What of the bus subscriptions need."""


class WebhookRegistry:
    """notice_ports.Webhooks."""

    def __init__(self, bus: Broker) -> None:
        self._bus: Final = bus

    async def waiting(self, webhook_id: str) -> int:
        """See the port."""
        level = await self._bus.consumer_level(webhook_consumer(webhook_id))
        return 0 if level is None else level.pending + level.ack_pending

    async def all(self) -> Sequence[Webhook]:
        """See the port."""
        found = [decode_webhook(entry.data) async for entry in self._bus.read_stream(WEBHOOKS.name, WEBHOOK_VALUES)]
        known = (webhook for webhook in found if not webhook.deleted)
        return sorted(known, key=lambda webhook: (webhook.created_at, webhook.id))

    async def get(self, webhook_id: str) -> tuple[Webhook | None, int]:
        """See the port."""
        last = await self._bus.last_of(WEBHOOKS.name, webhook_subject(webhook_id))
        if last is None:
            return None, 0
        webhook = decode_webhook(last.data)
        return None if webhook.deleted else webhook, last.stream_sequence

    async def put(self, webhook: Webhook, *, expected: int) -> int:
        """See the port."""
        return await self._bus.compare_and_set(
            WEBHOOKS.name, webhook_subject(webhook.id), encode(webhook), expected=expected
        )


class DeliveryRegistry:
    """notice_ports.WebhookDeliveries. A cursor is `r` or `w` (results, then what waits) and a stream sequence."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus: Final = bus

    async def page(self, webhook_id: str, *, status: str, cursor: str, limit: int) -> DeliveryPage:
        """See the port."""
        part, after = _place(cursor)
        items: list[WebhookResult] = []
        if part == "r" and status != "pending":
            scanned = 0
            subject = webhook_result_subject(webhook_id)
            async for entry in self._bus.read_stream(WEBHOOK_RESULTS.name, subject, after=after):
                result = await self._current(decode_result(entry.data))
                scanned += 1
                if result.status != "pending" and status in ("", result.status):
                    items.append(result)
                if len(items) >= limit or scanned >= SCANNED:
                    return DeliveryPage(items, f"r{entry.stream_sequence}")
        if status not in ("", "pending"):
            return DeliveryPage(items, "")
        async for entry in self._bus.read_stream(
            WEBHOOK_WORK.name, webhook_work_subject(webhook_id), after=after if part == "w" else 0
        ):
            work = decode_work(entry.data)
            known = await self._result(webhook_id, work.event_id)
            if known is None or known.generation < work.generation:
                items.append(_pending(work))
            if len(items) >= limit:
                return DeliveryPage(items, f"w{entry.stream_sequence}")
        return DeliveryPage(items, "")

    async def get(self, webhook_id: str, event_id: str) -> WebhookResult | None:
        """See the port."""
        result = await self._result(webhook_id, event_id)
        if result is not None:
            return await self._current(result)
        work = await self._work(webhook_id, event_id)
        return None if work is None else _pending(work)

    async def queue(self, work: WebhookWork) -> bool:
        """See the port."""
        subject = webhook_work_subject(work.webhook_id, work.event_id)
        expected = 0
        for _ in range(TRIES):
            try:
                await self._bus.compare_and_set(WEBHOOK_WORK.name, subject, encode(work), expected=expected)
            except RevisionConflictError:
                # A notifier that ended between recording that it is dead and settling it leaves the dead one for a moment.
                last = await self._bus.last_of(WEBHOOK_WORK.name, subject)
                if last is not None and decode_work(last.data).generation >= work.generation:
                    return False
                expected = 0 if last is None else last.stream_sequence
                continue
            return True
        return False

    async def _current(self, result: WebhookResult) -> WebhookResult:
        """A dead one may have been queued again since."""
        if result.status != "dead":
            return result
        work = await self._work(result.webhook_id, result.event_id)
        return result if work is None or work.generation <= result.generation else _pending(work)

    async def _result(self, webhook_id: str, event_id: str) -> WebhookResult | None:
        last = await self._bus.last_of(WEBHOOK_RESULTS.name, webhook_result_subject(webhook_id, event_id))
        return None if last is None else decode_result(last.data)

    async def _work(self, webhook_id: str, event_id: str) -> WebhookWork | None:
        last = await self._bus.last_of(WEBHOOK_WORK.name, webhook_work_subject(webhook_id, event_id))
        try:
            return None if last is None else decode_work(last.data)
        except msgspec.MsgspecError as error:
            logger.error("webhook.work_unreadable", event_id=event_id, error=str(error))
            return None


def _pending(work: WebhookWork) -> WebhookResult:
    return WebhookResult(
        webhook_id=work.webhook_id,
        event_id=work.event_id,
        type=work.type,
        at=work.at,
        status="pending",
        generation=work.generation,
    )


def _place(cursor: str) -> tuple[str, int]:
    if not cursor:
        return "r", 0
    if cursor[0] in "rw" and cursor[1:].isascii() and cursor[1:].isdigit() and len(cursor) < 21:
        return cursor[0], int(cursor[1:])
    raise InvalidCursorError(f"not a cursor: {cursor[:40]!r}; use next_cursor of the page before, or leave it out")
