"""Browsers to push to, in the bucket KV_devices."""

from collections.abc import Sequence
from typing import Final

from bus.key_values import KeyValues
from contracts.devices import Device, decode_device, encode
from contracts.subjects import PUSH_KEY, device_subject, device_subjects
from contracts.topology import DEVICES


class BrowserRegistry:
    """notice_ports.Browsers."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus: Final = bus

    async def key(self) -> str:
        """See the port."""
        last = await self._bus.last_of(DEVICES.name, PUSH_KEY)
        return "" if last is None else last.data.decode()

    async def of(self, user_id: str) -> Sequence[Device]:
        """See the port."""
        found = [
            decode_device(entry.data)
            async for entry in self._bus.read_stream(DEVICES.name, device_subject(user_id))
            if entry.data
        ]
        return [device for device in found if device is not None]

    async def add(self, user_id: str, device: Device) -> None:
        """See the port."""
        mine, revision = device_subject(user_id, device.id), 0
        async for entry in self._bus.read_stream(DEVICES.name, device_subjects(device.id)):
            if entry.subject == mine:
                revision = entry.stream_sequence
            elif entry.data:
                await self._bus.compare_and_set(DEVICES.name, entry.subject, b"", expected=entry.stream_sequence)
        await self._bus.compare_and_set(DEVICES.name, mine, encode(device), expected=revision)

    async def remove(self, user_id: str, device_id: str) -> bool:
        """See the port."""
        subject = device_subject(user_id, device_id)
        last = await self._bus.last_of(DEVICES.name, subject)
        if last is None or not last.data:
            return False
        await self._bus.compare_and_set(DEVICES.name, subject, b"", expected=last.stream_sequence)
        return True
