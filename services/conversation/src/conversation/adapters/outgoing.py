"""Outbox rows and facts on their way to the bus."""

from typing import Final

from bus.api import Bus
from store.outbox import OutboxRow
from store.relay import Publish

PURGE_HEADER: Final = "Everthread-Purge-Thread"
"""On the outbox row of a deletion: the thread whose run log is purged before the fact is published. Never sent."""


def publisher(bus: Bus) -> Publish:
    """How the relay takes a row to the broker."""

    async def publish(row: OutboxRow) -> None:
        headers = dict(row.headers)
        purge = headers.pop(PURGE_HEADER, "")
        if purge:
            await bus.run_log.purge_thread(purge)
        await bus.publish(row.subject, row.payload, message_id=row.message_id, headers=headers)

    return publish
