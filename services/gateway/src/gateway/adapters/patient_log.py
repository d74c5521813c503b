"""The log as people ask it: what the bus tries for half a minute, they are told of within seconds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from bus.api import Entry, Holder, RunLog
from bus.errors import UnavailableError

from gateway.domain.patience import ANSWER_SECONDS, COMMAND_SECONDS
from gateway.ports import NotSentError

LOOK_AGAIN_SECONDS: Final = 0.02


class PatientLog:
    """`ports.LogReader` over a log. `connected` says whether the connection to the broker stands now, `answer` and `command`
    are how long a question and a command may take, in seconds."""

    def __init__(
        self,
        log: RunLog,
        connected: Callable[[], bool],
        *,
        answer: float = ANSWER_SECONDS,
        command: float = COMMAND_SECONDS,
    ) -> None:
        self._log: Final = log
        self._connected: Final = connected
        self._answer: Final = answer
        self._command: Final = command

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        """See ports.LogReader."""
        try:
            async with asyncio.timeout(self._answer):
                return await self._log.holder(thread_id, run_id)
        except TimeoutError as error:
            raise self._silent() from error

    async def last(self, subject: str) -> Entry | None:
        """See ports.LogReader."""
        try:
            async with asyncio.timeout(self._answer):
                return await self._log.last(subject)
        except TimeoutError as error:
            raise self._silent() from error

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        """See ports.LogReader. Only the first entry is timed: a timer for each costs as much as the reading."""
        entries = self._log.read(subject_filter, after=after)
        try:
            async with asyncio.timeout(self._answer):
                first = await anext(entries, None)
        except TimeoutError as error:
            raise self._silent() from error
        if first is None:
            return
        yield first
        async for entry in entries:
            yield entry

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        """See ports.LogReader."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._command
        while not self._connected():
            if loop.time() >= deadline:
                raise NotSentError(f"{run_id}: no connection to NATS for {self._command:.0f} s; nothing was sent")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        try:
            # Who was connected at the last moment gets the time for one answer.
            async with asyncio.timeout_at(max(deadline, loop.time() + self._command / 4)):
                return await self._log.append_command(thread_id, run_id, data, message_id=message_id, after=after)
        except TimeoutError as error:
            raise UnavailableError(f"{run_id}: NATS did not confirm it in time; it may or may not be stored") from error

    def _silent(self) -> UnavailableError:
        return UnavailableError(f"no answer to a read within {self._answer:.0f} s")
