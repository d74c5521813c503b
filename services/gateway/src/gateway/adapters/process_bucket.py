"""Who runs, out of the key-value bucket `processes`."""

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
from bus.api import Bus
from contracts.processes import Heartbeat, decode_heartbeat
from contracts.subjects import PROCESS_VALUES
from contracts.topology import PROCESSES

logger = structlog.get_logger()


class ProcessBucket:
    """console_ports.Processes."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus

    async def all(self) -> Sequence[Heartbeat]:
        """See console_ports.Processes."""
        found = []
        async for entry in self._bus.read_stream(PROCESSES.name, PROCESS_VALUES):
            try:
                heartbeat = decode_heartbeat(entry.data)
            except msgspec.MsgspecError as error:
                # Of a kind that a newer version has.
                logger.warning("heartbeat.unreadable", subject=entry.subject, error=str(error))
                continue
            if not heartbeat.gone:
                found.append(heartbeat)
        return sorted(found, key=lambda heartbeat: (heartbeat.kind, heartbeat.name))
