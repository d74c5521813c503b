"""The webhook subscriptions, followed from their key-value bucket."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from bus.api import Entry
from bus.errors import BusError, RevisionConflictError, UnavailableError
from bus.key_values import KeyValues
from contracts.subjects import WEBHOOK_VALUES, webhook_subject
from contracts.times import rfc3339
from contracts.topology import WEBHOOKS
from contracts.webhooks import Webhook, decode_webhook, encode
from msgspec.structs import replace

logger = structlog.get_logger()

CATCH_UP_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.5


class SubscriptionBucket:
    """notifier.ports.Subscriptions. `watch` must run; `changed` is called after each change of `webhooks`."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus = bus
        self._heard = 0
        self._asking: asyncio.Task[int] | None = None
        self._grown = asyncio.Condition()
        self.webhooks: dict[str, Webhook] = {}
        self.changed: Callable[[], None] = lambda: None

    def get(self, webhook_id: str) -> Webhook | None:
        """See the port."""
        return self.webhooks.get(webhook_id)

    async def pause(self, webhook: Webhook, reason: str, now: datetime) -> bool:
        """See the port."""
        subject = webhook_subject(webhook.id)
        last = await self._bus.last_of(WEBHOOKS.name, subject)
        if last is None or decode_webhook(last.data) != webhook:
            return False
        paused = replace(webhook, enabled=False, disabled_reason=reason, changed_at=rfc3339(now))
        try:
            await self._bus.compare_and_set(WEBHOOKS.name, subject, encode(paused), expected=last.stream_sequence)
        except RevisionConflictError:
            return False
        return True

    async def wanting(self, event_type: str) -> Sequence[Webhook]:
        """See the port. One direct get makes sure that nothing stored before is missed, for all who ask in one turn."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._newest())
        # Whoever is cancelled must not end the question of the others.
        newest = await asyncio.shield(self._asking)
        if newest > self._heard:
            try:
                async with asyncio.timeout(CATCH_UP_SECONDS), self._grown:
                    await self._grown.wait_for(lambda: self._heard >= newest)
            except TimeoutError as error:
                raise UnavailableError("the subscriptions are not heard of in time") from error
        return [w for w in self.webhooks.values() if w.enabled and not w.deleted and event_type in w.events]

    async def _newest(self) -> int:
        # From here on the question is under way: who comes now would get an answer from before the call.
        self._asking = None
        last = await self._bus.last_of(WEBHOOKS.name, WEBHOOK_VALUES)
        return 0 if last is None else last.stream_sequence

    async def watch(self) -> None:
        """Follow the bucket until cancelled."""
        while True:
            try:
                async with self._bus.follow_stream(WEBHOOKS.name, WEBHOOK_VALUES, after=0) as batches:
                    async for batch in batches:
                        await self._take(batch)
            except BusError as error:
                logger.warning("webhooks.follow_failed", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _take(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            try:
                webhook = decode_webhook(entry.data)
            except msgspec.MsgspecError as error:
                logger.error("webhook.unreadable", subject=entry.subject, error=str(error))
                continue
            self.webhooks[webhook.id] = webhook
        self.changed()
        async with self._grown:
            self._heard = max(self._heard, *(entry.stream_sequence for entry in batch))
            self._grown.notify_all()
