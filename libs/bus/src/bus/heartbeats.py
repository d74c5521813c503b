"""A process says that it lives, in the key-value bucket `processes`, for as long as it does."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog
from contracts.processes import Heartbeat, Kind, encode_heartbeat
from contracts.subjects import process_subject
from contracts.times import rfc3339

from bus.errors import BusError
from bus.key_values import Expiring

logger = structlog.get_logger()

BEAT_SECONDS: Final = 5.0
LIFE_SECONDS: Final = 16
"""An entry lives for three beats: a killed process is shown for so long."""
GONE_SECONDS: Final = 1
CLOSE_SECONDS: Final = 1.0


class Heartbeats:
    """`slots` gives how many runs the process executes at once, and how many of them are in use. Nothing that goes wrong here
    stops the process: whoever looks sees that it was not heard of."""

    def __init__(
        self, bus: Expiring, kind: Kind, *, version: str, slots: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        self._bus: Final = bus
        self._kind: Final[Kind] = kind
        self._version: Final = version
        self._slots: Final = slots
        self._started_at: Final = _now()
        self._subject: Final = process_subject(kind, _key(bus.name))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Say it from now on."""
        self._task = asyncio.create_task(self._keep_saying(), name="heartbeats")

    async def close(self) -> None:
        """The process stops in order. Says so, where the broker answers; else it is known when the entry expires."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._say(gone=True, seconds=GONE_SECONDS)

    async def _keep_saying(self) -> None:
        while True:
            await self._say(gone=False, seconds=LIFE_SECONDS)
            await asyncio.sleep(BEAT_SECONDS)

    async def _say(self, *, gone: bool, seconds: int) -> None:
        slots, in_use = (None, None) if self._slots is None else self._slots()
        heartbeat = Heartbeat(
            name=self._bus.name,
            kind=self._kind,
            version=self._version,
            started_at=self._started_at,
            seen_at=_now(),
            slots=slots,
            slots_in_use=in_use,
            gone=gone,
        )
        try:
            await self._bus.put(self._subject, encode_heartbeat(heartbeat), seconds=seconds)
        except BusError as error:
            logger.debug("heartbeat.unsaid", error=str(error))


def _key(name: str) -> str:
    # The ULID at the end makes it unique; whatever the instance is called, it becomes one token of a subject.
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)[-100:]


def _now() -> str:
    return rfc3339(datetime.now(UTC))
