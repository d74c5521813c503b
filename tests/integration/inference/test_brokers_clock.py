"""The broker's time, as a claim on the real bus tells it to a worker whose clock is wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from bus.jetstream import JetStreamBus
from contracts import ids
from inference.adapters.system_clock import SystemClock
from inference.domain.broker_time import Sighting
from inference.handlers.broker_clock import clock_by
from inference.handlers.read_log import read_history


class WrongClock(SystemClock):
    """The machine's, but so much ahead."""

    def __init__(self, ahead: timedelta) -> None:
        super().__init__()
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


@pytest.mark.parametrize("minutes", [10, -10])
async def test_a_claim_tells_a_wrong_clock_the_brokers_time(bus: JetStreamBus, minutes: int) -> None:
    wrong, log = WrongClock(timedelta(minutes=minutes)), bus.run_log
    thread_id, run_id = ids.new_id(ids.THREAD), ids.new_id(ids.RUN)
    sent = wrong.monotonic()
    claim = await log.claim(thread_id, run_id, worker="test", delivery="", after=None)
    confirmed, at = wrong.now(), wrong.monotonic()
    seen = Sighting(stored_at=(await read_history(log, claim)).claimed_at, confirmed=confirmed, took=at - sent)
    await log.release(claim)
    # Exact to the time that the claim took.
    assert abs(clock_by(wrong, seen, at).now() - datetime.now(UTC)) < timedelta(seconds=60)
    right = SystemClock()
    agreed = Sighting(stored_at=seen.stored_at, confirmed=confirmed - timedelta(minutes=minutes), took=seen.took)
    assert clock_by(right, agreed, at) is right
