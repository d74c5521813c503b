"""What was changed of the rollout, on the stream AUDIT."""

from typing import Final

import msgspec
import structlog
from bus.api import Bus
from contracts import topology
from contracts.audit import RolloutChanged, decode_change, encode_change
from contracts.subjects import ROLLOUT_AUDITS, rollout_audit_subject

logger = structlog.get_logger()

STREAM: Final = topology.AUDIT.name


class AuditStream:
    """`ports.Audit`."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus
        self._read_to = 0
        self._told = 0

    async def tell(self, change: RolloutChanged) -> None:
        """See ports.Audit."""
        await self._bus.publish(rollout_audit_subject(change.change), encode_change(change), message_id=change.id)
        self._told = max(self._told, change.revision)

    async def told_revision(self) -> int:
        """See ports.Audit."""
        # Also what other gateways told meanwhile; only what is new is read.
        async for entry in self._bus.read_stream(STREAM, ROLLOUT_AUDITS, after=self._read_to):
            self._read_to = entry.stream_sequence
            change = _read(entry.data)
            self._told = max(self._told, change.revision if change is not None else 0)
        return self._told

    async def newest(self, limit: int) -> list[RolloutChanged]:
        """See ports.Audit."""
        found = [_read(entry.data) async for entry in self._bus.read_stream(STREAM, ROLLOUT_AUDITS)]
        return [change for change in found[: -limit - 1 : -1] if change is not None]


def _read(data: bytes) -> RolloutChanged | None:
    try:
        return decode_change(data)
    except msgspec.MsgspecError as error:
        logger.error("audit.unreadable", error=str(error))
        return None
