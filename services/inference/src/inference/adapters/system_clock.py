"""The machine's time."""

import time
from datetime import UTC, datetime

from contracts.times import rfc3339


class SystemClock:
    """Implements ports.Clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def stamp(self) -> str:
        return rfc3339(datetime.now(UTC))

    def monotonic(self) -> float:
        return time.monotonic()
