"""The rollout in a key-value bucket of the broker: who guards it, where it is, what the gateways noticed."""

import asyncio
from dataclasses import asdict
from typing import Final

import msgspec
import structlog
from bus.errors import BusError, RevisionConflictError
from bus.key_values import KeyValues
from contracts import topology
from contracts.subjects import ROLLOUT_VALUES, rollout_subject

from gateway.domain.guard import Broken, GuardState

logger = structlog.get_logger()

STREAM: Final = topology.ROLLOUT.name
STATE: Final = rollout_subject("guard")
LEASE: Final = rollout_subject("lease")
GAPS: Final = "gaps-"
DOUBLES: Final = "doubles-"

_state = msgspec.json.Decoder(GuardState)
_count = msgspec.json.Decoder(int)


class RolloutBucket:
    """`ports.RolloutStore`."""

    def __init__(self, bus: KeyValues, *, instance: str) -> None:
        self._bus: Final = bus
        self._instance: Final = instance
        self._told = {GAPS: 0, DOUBLES: 0}

    async def load(self) -> tuple[GuardState, int]:
        """See ports.RolloutStore."""
        last = await self._bus.last_of(STREAM, STATE)
        if last is None:
            return GuardState(), 0
        try:
            return _state.decode(last.data), last.stream_sequence
        except msgspec.MsgspecError as error:
            logger.error("rollout.state_unreadable", revision=last.stream_sequence, error=str(error))
            return GuardState(reason="the stored state was not readable"), last.stream_sequence

    async def save(self, state: GuardState, *, expected: int) -> int:
        """See ports.RolloutStore."""
        return await self._bus.compare_and_set(STREAM, STATE, msgspec.json.encode(asdict(state)), expected=expected)

    async def broken(self) -> Broken:
        """See ports.RolloutStore."""
        total = {GAPS: 0, DOUBLES: 0}
        async for entry in self._bus.read_stream(STREAM, ROLLOUT_VALUES):
            key = entry.subject.rpartition(".")[2]
            for kind in total:
                if key.startswith(kind):
                    total[kind] += _count.decode(entry.data)
        return Broken(gaps=total[GAPS], doubles=total[DOUBLES])

    async def tell(self, shown: Broken) -> None:
        """Let the guard know what this gateway has shown; costs nothing while there is nothing. Counts of a process before this
        one of the same name are added to."""
        await self._tell(GAPS, shown.gaps)
        await self._tell(DOUBLES, shown.doubles)

    async def _tell(self, kind: str, count: int) -> None:
        if count <= self._told[kind]:
            return
        subject = rollout_subject(f"{kind}{self._instance}")
        last = await self._bus.last_of(STREAM, subject)
        before = 0 if last is None else _count.decode(last.data)
        expected = 0 if last is None else last.stream_sequence
        value = msgspec.json.encode(before + count - self._told[kind])
        await self._bus.compare_and_set(STREAM, subject, value, expected=expected)
        self._told[kind] = count


class Lease:
    """One gateway at a time is the guard. Whoever renews the lease has it; the others take it once it has not been renewed for
    `seconds` by their own monotonic clock, so that no wall clock matters. Two at once for a moment do no harm: all that a guard
    changes, it changes by compare-and-set."""

    def __init__(self, bus: KeyValues, *, instance: str, seconds: float) -> None:
        self._bus: Final = bus
        self._me: Final = instance.encode()
        self._seconds: Final = seconds
        self._revision = 0
        self._seen_at = 0.0

    async def hold(self) -> bool:
        """Take or renew it; whether this gateway has it now."""
        now = asyncio.get_running_loop().time()
        try:
            last = await self._bus.last_of(STREAM, LEASE)
            revision = 0 if last is None else last.stream_sequence
            if revision != self._revision:
                self._revision, self._seen_at = revision, now
            mine = last is None or last.data in (self._me, b"")
            if not mine and now - self._seen_at < self._seconds:
                return False
            self._revision = await self._bus.compare_and_set(STREAM, LEASE, self._me, expected=revision)
            self._seen_at = now
        except RevisionConflictError:
            return False
        except BusError as error:
            logger.warning("lease.unavailable", error=str(error))
            return False
        return True

    async def release(self) -> None:
        """Leave it to others at once."""
        try:
            last = await self._bus.last_of(STREAM, LEASE)
            if last is not None and last.data == self._me:
                await self._bus.compare_and_set(STREAM, LEASE, b"", expected=last.stream_sequence)
        except BusError as error:
            logger.warning("lease.unavailable", error=str(error))
