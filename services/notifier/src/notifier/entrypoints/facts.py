"""The subscribers of the facts: decode, call the handler, say how it went."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import structlog
from bus.api import Delivery, Done, Outcome, Poison, RetryLater, Subscriber
from bus.errors import StreamFullError, UnavailableError
from contracts.facts import Fact, decode_fact
from contracts.ids import InvalidIdError
from contracts.times import parse_rfc3339
from runtime import metrics
from runtime.names import Metric

from notifier.domain.feed import UnknownStatusError
from notifier.handlers.deliver_fact import deliver_fact
from notifier.handlers.push_fact import Pushed, push_fact
from notifier.handlers.queue_webhooks import queue_webhooks
from notifier.ports import Deliveries, Devices, Feeds, PushService, Subscriptions, Threads

logger = structlog.get_logger()

AWAY_SECONDS = 2.0
PUSH_AGAIN_SECONDS = (5.0, 30.0, 120.0, 600.0)
PUSHED_WITHIN = 3600.0
REMEMBERED = 10_000


def _subscriber(handle: Callable[[Fact, Delivery], Awaitable[Outcome]], unstored: str) -> Subscriber:
    """What cannot be read is poison; a broker that is away, or full, is waited for."""

    async def on_fact(delivery: Delivery) -> Outcome:
        try:
            return await handle(decode_fact(delivery.data), delivery)
        except (msgspec.DecodeError, UnknownStatusError, InvalidIdError) as error:
            return Poison(f"not a fact this notifier understands: {error}")
        except (UnavailableError, StreamFullError) as error:
            logger.warning(unstored, stream_sequence=delivery.stream_sequence, error=str(error))
            return RetryLater(delay=AWAY_SECONDS)

    return on_fact


def facts_subscriber(feeds: Feeds, threads: Threads) -> Subscriber:
    """Handles deliveries of contracts.topology.FEED."""

    async def on_fact(fact: Fact, delivery: Delivery) -> Outcome:
        added = await deliver_fact(fact, feeds, threads)
        metrics.add(Metric.FEED_ENTRIES, added, outcome="added")
        repeated = len(fact.told) - added
        if repeated:
            metrics.add(Metric.FEED_ENTRIES, repeated, outcome="repeated")
            logger.info("feed.repeated", fact_id=fact.id, delivered=delivery.delivered)
        if added:
            metrics.observe(Metric.FEED_LAG, _age(fact))
        return Done()

    return _subscriber(on_fact, "feed.not_stored")


def webhook_facts_subscriber(subscriptions: Subscriptions, deliveries: Deliveries) -> Subscriber:
    """Handles deliveries of contracts.topology.TELL."""

    async def on_fact(fact: Fact, _: Delivery) -> Outcome:
        done = await queue_webhooks(fact, subscriptions, deliveries, lambda: datetime.now(UTC))
        metrics.add(Metric.WEBHOOKS_QUEUED, done.queued)
        if done.dead:
            metrics.add(Metric.WEBHOOK_ATTEMPTS, done.dead, outcome="full")
            logger.warning("webhook.queue_full", fact_id=fact.id, dead=done.dead)
        return Done()

    return _subscriber(on_fact, "webhook.not_queued")


def push_subscriber(threads: Threads, devices: Devices, service: PushService | None) -> Subscriber:
    """Handles deliveries of contracts.topology.PUSH. Best effort: after some tries, or an hour, nobody wants to know any more.
    Without a service it only keeps up."""
    done: dict[tuple[str, str], None] = {}

    async def on_fact(fact: Fact, delivery: Delivery) -> Outcome:
        if service is None or _age(fact) > PUSHED_WITHIN:
            return Done()
        pushed = await push_fact(fact, threads, devices, service, _Keys(done))
        for outcome in ("sent", "gone", "later", "failed"):
            if count := getattr(pushed, outcome):
                metrics.add(Metric.PUSHES, count, outcome=outcome)
        while len(done) > REMEMBERED:
            del done[next(iter(done))]
        return _push_again(pushed, delivery)

    return _subscriber(on_fact, "push.not_tried")


def _push_again(pushed: Pushed, delivery: Delivery) -> Outcome:
    if not pushed.later or delivery.delivered > len(PUSH_AGAIN_SECONDS):
        return Done()
    return RetryLater(max(PUSH_AGAIN_SECONDS[delivery.delivered - 1], min(pushed.retry_after, 3600.0)))


class _Keys:
    """The keys of a dict as a set that remembers the order."""

    def __init__(self, kept: dict[tuple[str, str], None]) -> None:
        self._kept = kept

    def __contains__(self, item: object) -> bool:
        return item in self._kept

    def add(self, item: tuple[str, str]) -> None:
        """One more."""
        self._kept[item] = None


def _age(fact: Fact) -> float:
    try:
        return max(0.0, (datetime.now(UTC) - parse_rfc3339(fact.at)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
