"""One attempt to deliver an event to a webhook, and the record of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from contracts.times import parse_rfc3339, rfc3339
from contracts.webhooks import WebhookResult, WebhookWork

from notifier.domain.retries import GONE, wait_after
from notifier.ports import Deliveries, Receiver, Reply, Subscriptions

Outcome = Literal["delivered", "failed", "dead", "repeated", "dropped", "held"]
HELD_SECONDS = 30.0
"""Of a webhook that was disabled a moment ago: its consumer is about to end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it. `again` is in seconds, None: settled. `age` is the event's when the attempt ended, in seconds. `paused`: the
    webhook was disabled by it."""

    outcome: Outcome
    again: float | None = None
    age: float = 0.0
    reply: Reply | None = None
    paused: bool = False


async def deliver_webhook(
    work: WebhookWork,
    subscriptions: Subscriptions,
    deliveries: Deliveries,
    receiver: Receiver,
    *,
    waits: Sequence[float],
    now: Callable[[], datetime],
    chance: Callable[[], float],
) -> Attempt:
    """Send it unless it was settled before, and record how it went. At least once: killed between the two, the next attempt
    sends it again, under the same id. A receiver that is gone for good has its webhook paused, whatever is killed where. Raises
    what the ports raise (try again)."""
    webhook = subscriptions.get(work.webhook_id)
    if webhook is None:
        return Attempt("held", again=5.0)  # not heard of yet
    if webhook.deleted:
        return Attempt("dropped")
    result, revision = await deliveries.result(work.webhook_id, work.event_id)
    if result is not None and _is_settled(result, work):
        # Between recording that it is gone and pausing it, this may have ended.
        missed = result.response == GONE and webhook.enabled and webhook.changed_at <= result.attempted_at
        return Attempt("repeated", paused=missed and await subscriptions.pause(webhook, _gone(result), now()))
    if not webhook.enabled:
        return Attempt("held", again=HELD_SECONDS)
    before = result.attempts if result is not None and result.generation == work.generation else 0
    reply = await receiver.send(webhook, work, now())
    ended = now()
    age = _age(work, ended)
    if 200 <= reply.status < 300:
        await deliveries.record(_result(work, "delivered", before + 1, reply, ended), expected=revision)
        return Attempt("delivered", age=age, reply=reply)
    wait = (
        None
        if reply.refused
        else wait_after(
            before + 1,
            status=reply.status,
            # A delivery that somebody sends again is as good as new.
            age=0.0 if work.generation else age,
            retry_after=reply.retry_after,
            waits=waits,
            chance=chance(),
        )
    )
    if wait is None:
        dead = _result(work, "dead", before + 1, reply, ended)
        await deliveries.record(dead, expected=revision)
        paused = reply.status == GONE and await subscriptions.pause(webhook, _gone(dead), ended)
        return Attempt("dead", age=age, reply=reply, paused=paused)
    again = rfc3339(ended + timedelta(seconds=wait))
    await deliveries.record(_result(work, "retrying", before + 1, reply, ended, again), expected=revision)
    return Attempt("failed", again=wait, age=age, reply=reply)


def _is_settled(result: WebhookResult, work: WebhookWork) -> bool:
    return result.status in ("delivered", "dead") and result.generation >= work.generation


def _gone(result: WebhookResult) -> str:
    return f"The receiver answered {GONE}, gone for good, at {result.attempted_at}."


def _age(work: WebhookWork, now: datetime) -> float:
    try:
        return max(0.0, (now - parse_rfc3339(work.at)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _result(
    work: WebhookWork,
    status: Literal["retrying", "delivered", "dead"],
    attempts: int,
    reply: Reply,
    ended: datetime,
    again: str | None = None,
) -> WebhookResult:
    return WebhookResult(
        webhook_id=work.webhook_id,
        event_id=work.event_id,
        type=work.type,
        at=work.at,
        status=status,
        generation=work.generation,
        attempts=attempts,
        attempted_at=rfc3339(ended),
        next_attempt_at=again,
        response=reply.status,
        error="" if status == "delivered" else reply.sentence,
        work=work if status == "dead" else None,
    )
