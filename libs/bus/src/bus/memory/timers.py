"""Message schedules in memory."""

import asyncio
import time
from datetime import datetime

from bus.errors import BusError
from bus.memory.stream import MemoryStream


class MemoryTimers:
    """The schedules that TIMERS holds, one per subject. Due by the wall clock, fired by the event loop."""

    def __init__(self, stream: MemoryStream | None) -> None:
        self._stream = stream
        self._pending: dict[str, asyncio.TimerHandle] = {}

    def set(self, timer: str, *, at: datetime, target: str, data: bytes) -> None:
        """See Bus.schedule."""
        stream = self._stream
        if stream is None:
            raise BusError("this broker has no stream TIMERS")
        self.forget(timer)
        stream.append(timer, data)
        wait = max(0.0, at.timestamp() - time.time())
        self._pending[timer] = asyncio.get_running_loop().call_later(wait, self._fire, timer, target, data)

    def forget(self, timer: str) -> None:
        """See Bus.unschedule."""
        pending = self._pending.pop(timer, None)
        if pending is not None:
            pending.cancel()
        if self._stream is not None:
            self._stream.remove(lambda stored: stored.entry.subject == timer)

    def stop(self) -> None:
        """Forget all, so that no timer outlives the loop."""
        for timer in list(self._pending):
            self.forget(timer)

    def _fire(self, timer: str, target: str, data: bytes) -> None:
        self.forget(timer)
        if self._stream is not None:
            self._stream.append(target, data)
