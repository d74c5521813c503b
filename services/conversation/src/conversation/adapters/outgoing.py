"""Outbox rows and facts on their way to the bus."""

from typing import Final

from bus.api import Bus
from contracts.times import parse_rfc3339, rfc3339
from store.outbox import OutboxRow
from store.relay import Publish

from conversation.domain.entities import Outgoing

PURGE_HEADER: Final = "Everthread-Purge-Thread"
"""On the outbox row of a deletion: the thread whose run log is purged before the fact is published. Never sent."""
AT_HEADER: Final = "Everthread-Timer-At"
DUE_HEADER: Final = "Everthread-Timer-Due"
"""On the outbox row of a timer: when it is due, and where it goes then. Never sent."""


def headers_of(outgoing: Outgoing) -> dict[str, str] | None:
    """The outbox row's headers."""
    headers: dict[str, str] = {}
    if outgoing.purge:
        headers[PURGE_HEADER] = outgoing.purge
    if outgoing.at is not None:
        headers |= {AT_HEADER: rfc3339(outgoing.at), DUE_HEADER: outgoing.due}
    return headers or None


def publisher(bus: Bus) -> Publish:
    """How the relay takes a row to the broker."""

    async def publish(row: OutboxRow) -> None:
        headers = dict(row.headers)
        purge, at, due = (headers.pop(name, "") for name in (PURGE_HEADER, AT_HEADER, DUE_HEADER))
        if purge:
            await bus.run_log.purge_thread(purge)
        if at:
            await bus.schedule(row.subject, at=parse_rfc3339(at), target=due, data=row.payload)
        else:
            await bus.publish(row.subject, row.payload, message_id=row.message_id, headers=headers)

    return publish
