"""The subscriber of the facts: decode, call the handler, say how it went."""

import msgspec
import structlog
from bus.api import Delivery, Done, Outcome, Poison, RetryLater, Subscriber
from bus.errors import StreamFullError, UnavailableError
from contracts.facts import decode_fact
from contracts.ids import InvalidIdError
from runtime import metrics
from runtime.names import Metric

from notifier.domain.feed import UnknownStatusError
from notifier.handlers.deliver_fact import deliver_fact
from notifier.ports import Feeds

logger = structlog.get_logger()


def facts_subscriber(feeds: Feeds) -> Subscriber:
    """Handles deliveries of contracts.topology.FEED. What cannot be read is poison; a broker that is away is waited for."""

    async def on_fact(delivery: Delivery) -> Outcome:
        try:
            fact = decode_fact(delivery.data)
            added = await deliver_fact(fact, feeds)
        except (msgspec.DecodeError, UnknownStatusError, InvalidIdError) as error:
            return Poison(f"not a fact this notifier understands: {error}")
        except (UnavailableError, StreamFullError) as error:
            logger.warning("feed.not_stored", stream_sequence=delivery.stream_sequence, error=str(error))
            return RetryLater(delay=2.0)
        metrics.add(Metric.FEED_ENTRIES, outcome="added" if added else "repeated")
        if not added:
            logger.info("feed.repeated", fact_id=fact.id, delivered=delivery.delivered)
        return Done()

    return on_fact
