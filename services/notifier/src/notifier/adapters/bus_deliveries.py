"""Deliveries to webhooks on the broker: the work queue WEBHOOKS, and how each went on WEBHOOK_RESULTS.

A delivery is queued once. In the queue: its subject is its own and it is stored only if that is empty (compare-and-set). After
it was settled and so left the queue: its result is there, which is looked at first.
"""

import msgspec
import structlog
from bus.errors import RevisionConflictError
from bus.key_values import KeyValues
from contracts.subjects import webhook_result_subject, webhook_work_subject
from contracts.topology import WEBHOOK_RESULTS, WEBHOOK_WORK
from contracts.webhooks import WebhookResult, WebhookWork, decode_result, encode

logger = structlog.get_logger()


class BusDeliveries:
    """notifier.ports.Deliveries."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus = bus

    async def queue(self, work: WebhookWork) -> bool:
        """See the port."""
        result, _ = await self.result(work.webhook_id, work.event_id)
        if result is not None and result.status in ("delivered", "dead"):
            return False
        subject = webhook_work_subject(work.webhook_id, work.event_id)
        try:
            await self._bus.compare_and_set(WEBHOOK_WORK.name, subject, encode(work), expected=0)
        except RevisionConflictError:
            return False
        return True

    async def result(self, webhook_id: str, event_id: str) -> tuple[WebhookResult | None, int]:
        """See the port."""
        last = await self._bus.last_of(WEBHOOK_RESULTS.name, webhook_result_subject(webhook_id, event_id))
        if last is None:
            return None, 0
        try:
            return decode_result(last.data), last.stream_sequence
        except msgspec.MsgspecError as error:
            logger.error("webhook.result_unreadable", webhook_id=webhook_id, event_id=event_id, error=str(error))
            return None, last.stream_sequence

    async def record(self, result: WebhookResult, *, expected: int) -> None:
        """See the port."""
        subject = webhook_result_subject(result.webhook_id, result.event_id)
        await self._bus.compare_and_set(WEBHOOK_RESULTS.name, subject, encode(result), expected=expected)
