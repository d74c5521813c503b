"""The broker's time for a worker whose own clock is wrong, for as long as an attempt lasts."""

from datetime import datetime

import structlog
from contracts.times import rfc3339

from inference.domain.broker_time import Sighting
from inference.ports import Clock

logger = structlog.get_logger()


class BrokerClock:
    """Implements ports.Clock: the broker's time at a sighting, and this machine's seconds since, which no correction of its time
    of day moves."""

    def __init__(self, inner: Clock, seen: Sighting, monotonic: float) -> None:
        self._inner, self._seen, self._from = inner, seen, monotonic

    def now(self) -> datetime:
        """See ports.Clock."""
        return self._seen.now(self._inner.monotonic() - self._from)

    def stamp(self) -> str:
        """See ports.Clock."""
        return rfc3339(self.now())

    def monotonic(self) -> float:
        """See ports.Clock."""
        return self._inner.monotonic()


def clock_by(inner: Clock, seen: Sighting, monotonic: float) -> Clock:
    """The worker's own clock where it tells the broker's time. `monotonic` is when the sighting was confirmed."""
    if seen.is_in_step:
        return inner
    logger.warning("clock.out_of_step", ahead_seconds=round(seen.confirmed.timestamp() - seen.stored_at, 1))
    return BrokerClock(inner, seen, monotonic)
