"""Send the dead deliveries of a webhook again, as many as it has room for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bus.errors import StreamFullError
from contracts.codes import Code
from contracts.times import parse_rfc3339
from contracts.webhooks import WebhookResult
from msgspec.structs import replace

from gateway.domain.problems import Refusal
from gateway.handlers.change_webhook import check_enabled, check_events, known_webhook
from gateway.notice_ports import Notices

MOST: Final = 1000
"""How many one call queues at most."""
PAGE: Final = 200
PAGES: Final = 10
"""How many pages of dead ones a call looks at, where few of them are of the type or the time that is asked for."""

FROM_THE_BEGINNING: Final = "r0"
"""A cursor of `WebhookDeliveries.page` before everything: there may be more, and nothing was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many were queued now. `full`: more were not, as enough waits for this webhook. `next_cursor` is where the next call
    goes on, empty where every dead one was looked at."""

    queued: int
    full: bool
    next_cursor: str


async def replay_deliveries(
    notices: Notices, webhook_id: str, *, since: str | None, event_type: str | None, cursor: str, limit: int
) -> Replayed:
    """Queue the dead ones whose event is of the type, and not older than `since`, the longest dead first, each under its id.

    What is queued again already is not dead, so the same call again queues only what is left. They fill half of the webhook's
    own share of the queue at most: nothing is taken from other webhooks, and what is new still has room. Raises Refusal,
    contracts.cursor.InvalidCursorError and bus.errors.UnavailableError, after which some may be queued; call again then.
    """
    webhook = await known_webhook(notices.webhooks, webhook_id)
    if event_type is not None:
        check_events([event_type])
    begin = None if since is None else check_moment(since)
    check_enabled(webhook)
    room = max(0, notices.share // 2 - await notices.webhooks.waiting(webhook_id))
    queued = 0
    for _ in range(PAGES):
        left = min(limit, room) - queued
        if left <= 0:
            return Replayed(queued=queued, full=queued >= room, next_cursor=cursor or FROM_THE_BEGINNING)
        page = await notices.deliveries.page(webhook_id, status="dead", cursor=cursor, limit=min(PAGE, left))
        for result in page.items:
            if not _is_wanted(result, begin, event_type) or result.work is None:
                continue
            try:
                # One after the other: between them the broker serves everybody else.
                queued += await notices.deliveries.queue(replace(result.work, generation=result.generation + 1))
            except StreamFullError:
                return Replayed(queued=queued, full=True, next_cursor=cursor or FROM_THE_BEGINNING)
        cursor = page.next_cursor
        if not cursor:
            break
    return Replayed(queued=queued, full=False, next_cursor=cursor)


def check_moment(text: str) -> datetime:
    """A time with its zone. Raises Refusal."""
    try:
        moment = parse_rfc3339(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        sentence = f"`since` is {text[:40]!r}; give a time with its zone, as 2026-11-21T03:17:47Z."
        raise Refusal(Code.BODY_INVALID, sentence)
    return moment


def _is_wanted(result: WebhookResult, begin: datetime | None, event_type: str | None) -> bool:
    if event_type is not None and result.type != event_type:
        return False
    return begin is None or parse_rfc3339(result.at) >= begin
