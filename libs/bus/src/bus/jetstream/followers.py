"""All followers of a connection: what attaches them, and the one heartbeat that compares them with the stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from contracts.subjects import live

from bus.api import Entry
from bus.errors import BusError
from bus.jetstream.connection import Connection
from bus.jetstream.direct_get import Reader
from bus.jetstream.follow import FIRST_CHECK, Follower

logger = structlog.get_logger()

HEARTBEAT: Final = 0.5


class Followers:
    """All followers of a connection, and the one task that compares them with the stream."""

    def __init__(self, connection: Connection, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader
        self._followers: set[Follower] = set()
        self._heartbeat: asyncio.Task[None] | None = None
        connection.when_regained(self._all_back_to_stream)

    @asynccontextmanager
    async def follow(
        self, stream: str, subject_filter: str, after: int
    ) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
        """See RunLog.follow."""
        follower = Follower(self._reader, stream, subject_filter, after)
        subscription = await self._connection.subscribe(live(subject_filter), follower.heard)
        self._followers.add(follower)
        follower.check_at = asyncio.get_running_loop().time() + FIRST_CHECK
        if self._heartbeat is None:
            self._heartbeat = asyncio.create_task(self._compare())
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            await self._connection.unsubscribe(subscription)
            await follower.close()

    async def stop(self) -> None:
        """End the heartbeat."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)
            self._heartbeat = None

    def _all_back_to_stream(self) -> None:
        for follower in self._followers:
            follower.go_back_to_stream()

    async def _compare(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(HEARTBEAT)
            for follower in [follower for follower in self._followers if follower.check_at <= loop.time()]:
                if not self._connection.connected:
                    break
                try:
                    await follower.check(loop.time())
                except BusError as error:
                    logger.warning("follow.check_failed", error=str(error))
