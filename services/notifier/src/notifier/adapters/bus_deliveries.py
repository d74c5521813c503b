"""Deliveries to webhooks on the broker: the work queue WEBHOOKS, and how each went on WEBHOOK_RESULTS.

A delivery is queued once. In the queue: its subject is its own and it is stored only if that is empty (compare-and-set). After
it was settled and so left the queue: its result is there, which is looked at first.

Each webhook has a share of both. In the queue it is lent more while little waits for all together, and refused what nobody
can lend it; of what is done its last are kept, all of it while there is room. So a receiver that is down for days pushes
nobody else's out.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import structlog
from bus.erasing import Erasing
from bus.errors import BusError, RevisionConflictError
from bus.key_values import KeyValues
from bus.looking import Looking
from contracts.subjects import webhook_result_subject, webhook_work_subject
from contracts.topology import WEBHOOK_RESULTS, WEBHOOK_SHARE, WEBHOOK_WORK, webhook_consumer
from contracts.webhooks import MOST_WEBHOOKS, WebhookResult, WebhookWork, decode_result, encode
from runtime import metrics
from runtime.names import Metric

from notifier.domain.shares import Share

logger = structlog.get_logger()

KEPT: Final = 2
"""How many times its share of results a webhook keeps: of what waits, and of what was settled."""
LENT: Final = 20
"""How many shares may wait, of all webhooks together, before nobody is lent more than its own."""


class Broker(KeyValues, Looking, Erasing, Protocol):
    """What of the bus this needs."""


class BusDeliveries:
    """notifier.ports.Deliveries. `share` is how many deliveries may wait for one webhook in any case, `webhooks` how many there
    may be."""

    def __init__(
        self,
        bus: Broker,
        *,
        share: int = WEBHOOK_SHARE,
        webhooks: int = MOST_WEBHOOKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._share = share
        self._clock = clock
        self._kept = webhooks * KEPT * share
        self._lent = Share(LENT * share)
        self._shares: dict[str, Share] = {}
        self._recorded: dict[str, int] = {}

    async def has_room(self, webhook_id: str) -> bool:
        """See the port."""
        share = self._shares.setdefault(webhook_id, Share(self._share))
        if share.wants_look(self._clock()):
            level = await self._bus.consumer_level(webhook_consumer(webhook_id))
            share.looked(0 if level is None else level.pending + level.ack_pending, self._clock())
        if share.has_room:
            return True
        if self._lent.wants_look(self._clock()):
            whole = await self._bus.stream_level(WEBHOOK_WORK)
            self._lent.looked(0 if whole is None else whole.messages, self._clock())
        return self._lent.has_room

    async def is_queued(self, webhook_id: str, event_id: str) -> bool:
        """See the port."""
        return await self._bus.last_of(WEBHOOK_WORK.name, webhook_work_subject(webhook_id, event_id)) is not None

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
        if (share := self._shares.get(work.webhook_id)) is not None:
            share.added += 1
        self._lent.added += 1
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
        await self._keep_share(result.webhook_id)

    async def _keep_share(self, webhook_id: str) -> None:
        """Now and then: the last of a webhook's results, where all together have grown beyond their shares."""
        kept = KEPT * self._share
        count = self._recorded.get(webhook_id, kept) + 1
        self._recorded[webhook_id] = count
        if count < max(1, self._share // 10):
            return
        self._recorded[webhook_id] = 0
        try:
            whole = await self._bus.stream_level(WEBHOOK_RESULTS)
            if whole is None or whole.messages <= self._kept:
                return
            gone = await self._bus.purge(WEBHOOK_RESULTS.name, webhook_result_subject(webhook_id), keep=kept)
        except BusError as error:
            logger.warning("webhook.results_kept", webhook_id=webhook_id, error=str(error))
            return
        if gone:
            metrics.add(Metric.WEBHOOK_RESULTS_FORGOTTEN, gone)
            logger.info("webhook.results_forgotten", webhook_id=webhook_id, count=gone, kept=kept)
