"""One delivery from arrival to settlement: the same for the real bus and its twin."""

import random
import time
from typing import Protocol

import structlog
from contracts.topology import Consumer
from runtime import metrics
from runtime.names import Metric

from bus import tracing
from bus.api import Delivery, Done, HandedOver, Outcome, Poison, RetryLater, Subscriber

logger = structlog.get_logger()

LONGEST_RETRY_DELAY = 30.0
_RESULTS = {Done: "done", RetryLater: "retry", Poison: "poison", HandedOver: "handed_over"}


class Settlement(Protocol):
    """How a delivery is settled at the broker. None of these raises for a broker that is away: redelivery repairs it."""

    async def ack(self, reply: str) -> None:
        """Handled; waits for the server's confirmation."""

    async def nak(self, reply: str, delay: float) -> None:
        """Redeliver after `delay` seconds."""

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Copy to the dead letters, then terminate."""


def shortest_lease(consumer: Consumer) -> float:
    """Seconds after which the server may redeliver if it hears nothing."""
    return min((consumer.ack_wait, *consumer.backoff))


def retry_delay(consumer: Consumer, delivered: int) -> float:
    """Seconds to wait after a failure: the consumer's backoff, else exponential with full jitter."""
    if consumer.backoff:
        return consumer.backoff[min(delivered, len(consumer.backoff)) - 1]
    return random.uniform(0.05, min(LONGEST_RETRY_DELAY, 0.5 * 2.0 ** min(delivered, 10)))  # noqa: S311  # no secret


async def handle(delivery: Delivery, subscriber: Subscriber, consumer: Consumer, settlement: Settlement) -> None:
    """Run the subscriber under the message's trace and settle by its outcome. A cancelled subscriber settles nothing."""
    began, result = time.perf_counter(), ""
    if delivery.delivered > 1:
        metrics.add(Metric.REDELIVERIES, consumer=consumer.name)
    with tracing.processing(delivery.subject, delivery.headers, consumer.name, delivery.delivered) as span:
        try:
            outcome: Outcome = await subscriber(delivery)
        except Exception as error:  # one faulty message must not stop the queue
            outcome, result = RetryLater(retry_delay(consumer, delivery.delivered)), "failed"
            span.record_exception(error)
            tracing.mark_failed(span, f"{type(error).__name__}: {error}")
            logger.error(
                "delivery.failed",
                consumer=consumer.name,
                stream_sequence=delivery.stream_sequence,
                delivered=delivery.delivered,
                retry_in=round(outcome.delay, 2),
                exc_info=error,
            )
        match outcome:
            case Done():
                for reply in delivery.replies:
                    await settlement.ack(reply)
            case RetryLater(delay=delay):
                for reply in delivery.replies:
                    await settlement.nak(reply, delay)
            case Poison(reason=reason):
                tracing.mark_failed(span, reason)
                logger.error(
                    "delivery.poisoned",
                    consumer=consumer.name,
                    stream_sequence=delivery.stream_sequence,
                    reason=reason,
                )
                await settlement.bury(delivery, reason)
            case HandedOver():
                pass
        metrics.add(Metric.DELIVERIES, consumer=consumer.name, outcome=result or _RESULTS[type(outcome)])
        metrics.observe(Metric.HANDLING, time.perf_counter() - began, consumer=consumer.name)
