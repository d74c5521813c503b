"""HTTP over several gateways: the next one when one does not answer, and refusals as errors of this client."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
import msgspec

from everthread_client.answers import Problem
from everthread_client.backoff import Backoff
from everthread_client.errors import ProblemError, UnreachableError

AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed; every other refusal is final."""

Token = str | Callable[[], str]


class AttemptError(Exception):
    """One attempt at one gateway failed in a way that another attempt may mend. Never leaves this package."""

    def __init__(self, reason: str, *, retry_after: float = 0.0, sent: bool = True) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.sent = sent


class Transport:
    """One connection pool over the gateways; remembers which one answered last and starts with it."""

    def __init__(
        self,
        base_urls: Sequence[str],
        token: Token,
        *,
        http: httpx2.AsyncClient | None = None,
        idle_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not base_urls:
            raise ValueError("no base URL is given; expected at least one, such as http://127.0.0.1:8080")
        self._urls = [url.rstrip("/") for url in base_urls]
        self._current = 0
        self._token = token
        # A long answer is silent only between heartbeats; connecting and short calls have tighter limits of their own.
        self._http = http or httpx2.AsyncClient(timeout=httpx2.Timeout(10.0, connect=5.0))
        self._stream_timeout = httpx2.Timeout(10.0, connect=5.0, read=idle_seconds)
        self.sleep = sleep
        self.jitter = jitter
        self.clock = clock

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def turn(self) -> None:
        """Try the next gateway from now on."""
        self._current = (self._current + 1) % len(self._urls)

    async def call(
        self, method: str, path: str, *, body: Any, headers: Mapping[str, str], repeatable: bool, patience: float
    ) -> bytes:
        """One request, repeated over the gateways for up to `patience` seconds; the body of the answer.

        What is not `repeatable` is sent again only where the connection was refused, so certainly nothing was done.
        Raises ProblemError, UnreachableError.
        """
        backoff, started = Backoff(self.jitter), self.clock()
        while True:
            try:
                return await self._attempt(method, path, body, headers)
            except AttemptError as error:
                wait = backoff.next(error.retry_after)
                if (error.sent and not repeatable) or self.clock() - started + wait > patience:
                    raise UnreachableError(f"{method} {path}: {error}") from error
                self.turn()
                await self.sleep(wait)

    async def _attempt(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        sent = {**self._authorization(), **headers}
        if content is not None:
            sent["content-type"] = "application/json"
        with _AsAttempts():
            response = await self._http.request(method, self._urls[self._current] + path, content=content, headers=sent)
        if response.status_code >= 400:
            raise _refusal(response, response.content)
        return response.content

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes] | None]:
        """One GET of an event stream at the current gateway: its bytes as they come, or None where nothing comes any more
        (204). Raises ProblemError, AttemptError."""
        sent = {
            **self._authorization(),
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "cache-control": "no-store",
            **headers,
        }
        with _AsAttempts():
            async with self._http.stream(
                "GET", self._urls[self._current] + path, headers=sent, timeout=self._stream_timeout
            ) as response:
                if response.status_code == 204:
                    yield None
                    return
                if response.status_code != 200:
                    raise _refusal(response, await response.aread())
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise AttemptError("the answer is no event stream; is this the address of an Everthread gateway?")
                yield response.aiter_raw()

    def _authorization(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        return {"authorization": f"Bearer {token}"}


class _AsAttempts:
    """Turns the failures of the network into AttemptError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, httpx2.TransportError | httpx2.StreamError):
            sent = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise AttemptError(f"{type(error).__name__}: {error}".rstrip(": "), sent=sent) from error


def _refusal(response: httpx2.Response, body: bytes) -> Exception:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(detail=f"HTTP {response.status_code}")
    if response.status_code in AGAIN:
        after = response.headers.get("retry-after", "")
        return AttemptError(
            problem.detail or problem.title or f"HTTP {response.status_code}",
            retry_after=min(float(after), 60.0) if after.isdigit() else 0.0,
        )
    return ProblemError(response.status_code, problem.code, problem.detail or problem.title)
