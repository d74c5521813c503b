"""The machine's time."""

import time
from datetime import UTC, datetime

from contracts.times import rfc3339


class SystemClock:
    """Implements ports.Clock."""

    def __init__(self) -> None:
        self._second = -1
        self._stem = ""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def stamp(self) -> str:
        """Every event carries one, so all but the milliseconds are written once a second."""
        second, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
        if second != self._second:
            self._second = second
            self._stem = rfc3339(datetime.fromtimestamp(second, UTC)).removesuffix("000Z")
        return f"{self._stem}{milliseconds:03}Z"

    def monotonic(self) -> float:
        return time.monotonic()
