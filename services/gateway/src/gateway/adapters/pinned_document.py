"""A JSON document at an address that the operator named: cached, fetched again seldom, kept while nobody answers there."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import httpx2
import structlog

logger = structlog.get_logger()

REFRESH_SECONDS: Final = 10.0
"""At most one fetch in this time, however often it is asked for: else a stranger could make us hammer who serves it."""
STALE_SECONDS: Final = 600.0
"""After this it is fetched again in the background, so that what was taken out of it stops counting."""
FETCH_SECONDS: Final = 5.0
MAX_BYTES: Final = 1_000_000

Parsed = TypeVar("Parsed")


class PinnedDocument(Generic[Parsed]):
    """`parse` takes the JSON value and raises ValueError for one that is not what it should be: the last good one then stays.
    `name` begins the events in the log: `<name>.fetched`, `<name>.fetch_failed`."""

    def __init__(
        self,
        url: str,
        parse: Callable[[Any], Parsed],
        *,
        name: str,
        client: httpx2.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.value: Parsed | None = None
        """None: it could never be fetched so far."""
        self._url: Final = url
        self._parse: Final = parse
        self._name: Final = name
        self._client: Final = client or httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False)
        self._clock: Final = clock
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Fetch it, or wait for whoever does; returns at once where that was tried a moment ago. Never raises: see `value`."""
        task = self.start_refresh()
        if task is not None:
            await asyncio.shield(task)

    def refresh_if_stale(self) -> None:
        """Have it fetched in the background where it is old."""
        if self._fetched_at is not None and self._clock() - self._fetched_at > STALE_SECONDS:
            self.start_refresh()

    def start_refresh(self) -> "asyncio.Task[None] | None":
        """The fetch under way, or one that begins now; None where one was tried a moment ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < REFRESH_SECONDS:
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._fetch(), name=f"fetch {self._name}")
        return self._fetching

    async def close(self) -> None:
        """Drop the connection."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.aclose()

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                response = await self._client.get(self._url, headers={"accept": "application/json"})
                response.raise_for_status()
            if len(response.content) > MAX_BYTES:
                raise ValueError(f"the document is larger than {MAX_BYTES} bytes")
            self.value = self._parse(response.json())
            self._fetched_at = self._clock()
            logger.info(f"{self._name}.fetched", url=self._url)
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            logger.warning(f"{self._name}.fetch_failed", url=self._url, error=f"{type(error).__name__}: {error}")
