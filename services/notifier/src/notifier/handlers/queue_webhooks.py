"""Queue a fact for every webhook that wants it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bus.errors import RevisionConflictError, StreamFullError
from contracts.facts import Fact
from contracts.times import rfc3339
from contracts.webhooks import WebhookResult, WebhookWork

from notifier.domain.feed import event_type_of
from notifier.domain.webhook_events import work_of
from notifier.ports import Deliveries, Subscriptions

NO_ROOM: Final = "Too many deliveries wait for this webhook already, so this one was not tried; send it again when the receiver answers."


@dataclass(frozen=True, slots=True)
class Queued:
    """How many deliveries were queued now, and how many there was no room for: those are dead, unsent."""

    queued: int = 0
    dead: int = 0


async def queue_webhooks(
    fact: Fact, subscriptions: Subscriptions, deliveries: Deliveries, now: Callable[[], datetime]
) -> Queued:
    """One delivery per subscription that wants the event, however often the fact is handled. Where there is no room for
    a webhook's, it is dead at once, with its body, and the others' are queued all the same.

    Raises UnknownStatusError, InvalidIdError (never going to work) and what the ports raise (try again).
    """
    queued = dead = 0
    for webhook in await subscriptions.wanting(event_type_of(fact)):
        work = work_of(fact, webhook.id)
        if await deliveries.has_room(webhook.id):
            try:
                queued += await deliveries.queue(work)
                continue
            except StreamFullError:
                # As if its share were used up: the fact must not wait here, or it would wait for all.
                pass
        dead += await _give_up(work, deliveries, now())
    return Queued(queued, dead)


async def _give_up(work: WebhookWork, deliveries: Deliveries, now: datetime) -> bool:
    """Whether it is dead by this: what was queued or settled before, as the fact came before, stays what it is."""
    result, revision = await deliveries.result(work.webhook_id, work.event_id)
    if result is not None or await deliveries.is_queued(work.webhook_id, work.event_id):
        return False
    dead = WebhookResult(
        webhook_id=work.webhook_id,
        event_id=work.event_id,
        type=work.type,
        at=work.at,
        status="dead",
        attempted_at=rfc3339(now),
        error=NO_ROOM,
        work=work,
    )
    try:
        await deliveries.record(dead, expected=revision)
    except RevisionConflictError:
        return False
    return True
