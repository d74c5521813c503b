"""What the broker knows of threads: who watches, by the key-value bucket of presence, and which are deleted, by their facts."""

import msgspec
import structlog
from bus.api import Bus
from contracts.presence import TYPING, decode_presence
from contracts.subjects import fact_subject, presence_subjects
from contracts.topology import PRESENCE, THREADS

logger = structlog.get_logger()


class BusThreads:
    """notifier.ports.Threads."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def watched_by(self, thread_id: str) -> frozenset[str]:
        """See the port. One direct get; what a dead gateway said has expired."""
        found = set()
        for entry in await self._bus.values_of(PRESENCE.name, presence_subjects(thread_id)):
            *_, user_id, place = entry.subject.split(".")
            try:
                if place != TYPING and decode_presence(entry.data).connections > 0:
                    found.add(user_id)
            except msgspec.MsgspecError as error:
                logger.warning("presence.unreadable", place=place, error=str(error))
        return frozenset(found)

    async def is_deleted(self, thread_id: str) -> bool:
        """See the port."""
        return await self._bus.last_of(THREADS.name, fact_subject(thread_id, "thread.deleted")) is not None
