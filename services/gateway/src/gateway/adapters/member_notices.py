"""Hears from the stream of facts whose role was taken away and which threads are gone, and has what they watch end."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from bus.api import Bus, Entry
from bus.errors import BusError
from contracts.facts import ThreadDeleted, ThreadMemberRemoved, decode_fact
from contracts.subjects import MEMBERS_REMOVED, THREADS_DELETED
from contracts.topology import THREADS

from gateway.domain.attendance import NO_MEMBER, THREAD_DELETED, Attendance

logger = structlog.get_logger()

RETRY_SECONDS: Final = 0.25


class MemberNotices:
    """Follows the facts from `start` on; what was missed while the broker was away is read afterwards, so none is."""

    def __init__(self, bus: Bus, attendance: Attendance) -> None:
        self._bus: Final = bus
        self._attendance: Final = attendance
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """From now on. To be called before anybody is let in. Raises UnavailableError."""
        for subject in (MEMBERS_REMOVED, THREADS_DELETED):
            last = await self._bus.last_of(THREADS.name, subject)
            after = 0 if last is None else last.stream_sequence
            self._tasks.append(asyncio.create_task(self._follow(subject, after, self._heard), name=f"hear {subject}"))

    async def close(self) -> None:
        """Hear no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, subject: str, after: int, heard: Callable[[Entry], None]) -> None:
        while True:
            try:
                async with self._bus.follow_stream(THREADS.name, subject, after=after) as batches:
                    async for batch in batches:
                        for entry in batch:
                            heard(entry)
                        after = batch[-1].stream_sequence
            except BusError as error:
                logger.warning("members.follow_failed", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    def _heard(self, entry: Entry) -> None:
        try:
            fact = decode_fact(entry.data)
        except msgspec.MsgspecError as error:
            logger.error("members.fact_unreadable", subject=entry.subject, error=str(error))
            return
        count = 0
        if isinstance(fact, ThreadMemberRemoved):
            count = self._attendance.dismiss(fact.thread_id, fact.member_id, NO_MEMBER)
        elif isinstance(fact, ThreadDeleted):
            count = self._attendance.dismiss(fact.thread_id, "", THREAD_DELETED)
        if count:
            logger.info("members.streams_ended", thread_id=fact.thread_id, count=count)
