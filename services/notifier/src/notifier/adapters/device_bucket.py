"""The browsers that asked to be told, in their key-value bucket."""

from collections.abc import Sequence

import msgspec
import structlog
from bus.errors import RevisionConflictError
from bus.key_values import KeyValues
from contracts.devices import Device, decode_device
from contracts.subjects import PUSH_KEY, device_subject
from contracts.topology import DEVICES

logger = structlog.get_logger()


class DeviceBucket:
    """notifier.ports.Devices."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus = bus

    async def of(self, user_id: str) -> Sequence[Device]:
        """See the port."""
        found = []
        for entry in await self._bus.values_of(DEVICES.name, device_subject(user_id)):
            try:
                device = decode_device(entry.data)
            except msgspec.MsgspecError as error:
                logger.error("device.unreadable", subject=entry.subject, error=str(error))
                continue
            if device is not None:
                found.append(device)
        return found

    async def remove(self, user_id: str, device_id: str) -> None:
        """See the port. A browser that has renewed itself meanwhile stays."""
        subject = device_subject(user_id, device_id)
        last = await self._bus.last_of(DEVICES.name, subject)
        if last is None or not last.data:
            return
        try:
            await self._bus.compare_and_set(DEVICES.name, subject, b"", expected=last.stream_sequence)
        except RevisionConflictError:
            return
        logger.info("device.removed", device_id=device_id)

    async def tell_key(self, public_key: str) -> None:
        """Let the gateways give browsers the key that their push services shall expect of us."""
        data = public_key.encode()
        last = await self._bus.last_of(DEVICES.name, PUSH_KEY)
        if last is not None and last.data == data:
            return
        try:
            await self._bus.compare_and_set(
                DEVICES.name, PUSH_KEY, data, expected=0 if last is None else last.stream_sequence
            )
        except RevisionConflictError:
            logger.info("push.key_told_by_another")
