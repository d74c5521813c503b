"""One consumer per webhook: a receiver that is slow or fails has only its own deliveries wait."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog
from bus.api import Bus, Delivery, Done, Outcome, Poison, RetryLater, Subscriber
from bus.errors import BusError, RevisionConflictError, UnavailableError
from contracts.times import parse_rfc3339
from contracts.topology import Consumer, webhook_consumer
from contracts.webhooks import Webhook, WebhookWork, decode_work
from runtime import metrics
from runtime.names import Metric

from notifier.handlers.deliver_webhook import Attempt, deliver_webhook
from notifier.ports import Deliveries, Receiver, Reply, Subscriptions

logger = structlog.get_logger()

AGAIN_SECONDS: Final = 2.0
DROPPED_FOR: Final = timedelta(days=2)
"""How long after its deletion what is queued for a webhook is fetched to be dropped: longer than the longest retry."""


def work_subscriber(
    subscriptions: Subscriptions, deliveries: Deliveries, receiver: Receiver, waits: Sequence[float]
) -> Subscriber:
    """Handles deliveries of contracts.topology.webhook_consumer."""
    timed = _Timed(receiver)

    async def on_work(delivery: Delivery) -> Outcome:
        try:
            work = decode_work(delivery.data)
        except msgspec.MsgspecError as error:
            return Poison(f"not a delivery this notifier understands: {error}")
        try:
            attempt = await deliver_webhook(
                work,
                subscriptions,
                deliveries,
                timed,
                waits=waits,
                now=lambda: datetime.now(UTC),
                chance=random.random,
            )
        except RevisionConflictError:
            # Another notifier had the same delivery: what it recorded decides.
            return RetryLater(AGAIN_SECONDS)
        except UnavailableError as error:
            logger.warning("webhook.unrecorded", webhook_id=work.webhook_id, event_id=work.event_id, error=str(error))
            return RetryLater(AGAIN_SECONDS)
        _tell(work, attempt)
        return Done() if attempt.again is None else RetryLater(attempt.again)

    return on_work


def _tell(work: WebhookWork, attempt: Attempt) -> None:
    if attempt.paused:
        logger.warning("webhook.paused", webhook_id=work.webhook_id, event_id=work.event_id)
    metrics.add(Metric.WEBHOOK_ATTEMPTS, outcome=attempt.outcome)
    if attempt.outcome == "delivered" and not work.generation:
        metrics.observe(Metric.WEBHOOK_LAG, attempt.age)
    if attempt.outcome in ("failed", "dead"):
        logger.warning(
            "webhook.dead" if attempt.outcome == "dead" else "webhook.failed",
            webhook_id=work.webhook_id,
            event_id=work.event_id,
            status=attempt.reply.status if attempt.reply else 0,
            reason=attempt.reply.sentence if attempt.reply else "",
            again_in=attempt.again,
        )


def _is_long_gone(webhook: Webhook) -> bool:
    try:
        return datetime.now(UTC) - parse_rfc3339(webhook.changed_at) > DROPPED_FOR
    except (ValueError, TypeError):
        return True


class _Timed:
    """Measures each request."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def send(self, webhook: Webhook, work: WebhookWork, now: datetime) -> Reply:
        """See ports.Receiver."""
        began = time.perf_counter()
        reply = await self._receiver.send(webhook, work, now)
        answer = f"{reply.status // 100}xx" if 200 <= reply.status < 600 else "none"
        metrics.observe(Metric.WEBHOOK_SECONDS, time.perf_counter() - began, answer=answer)
        return reply


class Receivers:
    """Runs a consumer for every webhook, as they come and go. `stop` ends them after what they have in hand."""

    def __init__(
        self,
        bus: Bus,
        subscriber: Subscriber,
        create: Callable[[Consumer], Awaitable[None]],
        concurrency: int,
    ) -> None:
        self._bus = bus
        self._subscriber = subscriber
        self._create = create
        self._concurrency = concurrency
        self._running: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def notice(self) -> None:
        """The webhooks changed."""
        self._changed.set()

    async def run(self, webhooks: Callable[[], Sequence[Webhook]], stopping: asyncio.Event) -> None:
        """Until stopping; a deleted webhook's consumer runs on in this process, so that what is queued for it is dropped."""
        stop = asyncio.create_task(stopping.wait())
        async with asyncio.TaskGroup() as group:
            while not stop.done():
                self._changed.clear()
                for webhook in webhooks():
                    self._follow(webhook, group, stopping)
                change = asyncio.create_task(self._changed.wait())
                await asyncio.wait({change, stop}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()

    def _follow(self, webhook: Webhook, group: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        running = self._running.get(webhook.id)
        if webhook.deleted and running is None and _is_long_gone(webhook):
            return
        if webhook.enabled or webhook.deleted:
            if running is None:
                consumer = webhook_consumer(webhook.id)
                self._running[webhook.id] = group.create_task(self._consume(consumer, stopping))
        elif running is not None:
            # What it has in hand comes again once the webhook is enabled; until then all waits in the queue.
            running.cancel()
            del self._running[webhook.id]

    async def _consume(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self._create(consumer)
                await self._bus.consume(consumer, self._subscriber, concurrency=self._concurrency)
                return
            except BusError as error:
                logger.warning("webhook.consumer_failed", consumer=consumer.name, error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)
