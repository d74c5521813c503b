"""Who notices that nobody watches a run any more, so that it can be told how many answers survive that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog
from bus.api import Claim, Entry, Holder, RunLog
from bus.errors import BusError
from contracts.events import TERMINAL_TYPES, event_head

from gateway.domain.problems import Refusal

logger = structlog.get_logger()

LEFT_SECONDS: Final = 0.75
"""How long nobody watches before that counts: a connection that is made anew at once is none that went away. Shorter than what
the legacy path waits before it gives up."""


class WatchedLog:
    """A RunLog that tells of each run whose last follower here left before its end. `tell` is given the run's id."""

    def __init__(self, log: RunLog, tell: Callable[[str], Awaitable[None]]) -> None:
        self._log: Final = log
        self._tell: Final = tell
        self._watching: dict[str, int] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._closed = False

    def follow(
        self, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        tokens = subject_filter.split(".")
        if len(tokens) != 4 or tokens[2] == "*" or tokens[3] != "event":
            return self._log.follow(subject_filter, after=after)
        return self._follow_run(tokens[2], subject_filter, after)

    @asynccontextmanager
    async def _follow_run(self, run_id: str, subject: str, after: int) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
        self._watching[run_id] = self._watching.get(run_id, 0) + 1
        leaving = self._leaving.pop(run_id, None)
        if leaving is not None:
            leaving.cancel()
        try:
            async with self._log.follow(subject, after=after) as batches:
                yield batches
        finally:
            self._watching[run_id] -= 1
            if self._watching[run_id] == 0:
                del self._watching[run_id]
                if not self._closed:
                    loop = asyncio.get_running_loop()
                    self._leaving[run_id] = loop.call_later(LEFT_SECONDS, self._left, run_id, subject)

    def _left(self, run_id: str, subject: str) -> None:
        del self._leaving[run_id]
        task = asyncio.create_task(self._see(run_id, subject), name=f"departed {run_id}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _see(self, run_id: str, subject: str) -> None:
        try:
            last = await self._log.last(subject)
            if last is None or event_head(last.data)[0] not in TERMINAL_TYPES:
                await self._tell(run_id)
        except Refusal as refusal:
            logger.warning("departure.untold", run_id=run_id, error=refusal.detail)
        except BusError as error:
            logger.warning("departure.untold", run_id=run_id, error=str(error))

    async def close(self) -> None:
        """Those who leave because this process stops have not gone away."""
        self._closed = True
        for timer in self._leaving.values():
            timer.cancel()
        await asyncio.gather(*self._telling)

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        return await self._log.holder(thread_id, run_id)

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: Holder | None) -> Claim:
        return await self._log.claim(thread_id, run_id, worker=worker, delivery=delivery, after=after)

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._log.append(claim, sequence, data)

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        return await self._log.append_together(claim, sequence, data)

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._log.snapshot(claim, sequence, data)

    async def release(self, claim: Claim) -> None:
        await self._log.release(claim)

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        return await self._log.confirm_released(thread_id, run_id, after=after)

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        return await self._log.append_command(thread_id, run_id, data, message_id=message_id, after=after)

    def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        return self._log.read(subject_filter, after=after)

    async def last(self, subject: str) -> Entry | None:
        return await self._log.last(subject)

    async def purge_thread(self, thread_id: str) -> None:
        await self._log.purge_thread(thread_id)
