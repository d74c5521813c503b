"""Queue a fact for every webhook that wants it."""

from contracts.facts import Fact

from notifier.domain.feed import event_type_of
from notifier.domain.webhook_events import work_of
from notifier.ports import Deliveries, Subscriptions


async def queue_webhooks(fact: Fact, subscriptions: Subscriptions, deliveries: Deliveries) -> int:
    """One delivery per subscription that wants the event, however often the fact is handled; how many were queued now.

    Raises UnknownStatusError, InvalidIdError (never going to work) and what the ports raise (try again).
    """
    queued = 0
    for webhook in await subscriptions.wanting(event_type_of(fact)):
        queued += await deliveries.queue(work_of(fact, webhook.id))
    return queued
