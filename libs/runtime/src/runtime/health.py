"""Is the process alive, and may it be given work: HTTP, by hand, because nothing smaller is to be had.

`/healthz` answers 200 while the event loop turns. `/readyz` answers 200 when every check holds and the process is not
draining, else 503; its JSON body names each check. `/metrics` is for Prometheus.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from runtime import metrics
from runtime.names import Metric

logger = structlog.get_logger()

Probe = Callable[[], "bool | Awaitable[bool]"]
Route = Callable[[], "Awaitable[tuple[int, str, bytes]]"]
"""Answers `(status, content type, body)`."""

PROBE_SECONDS: Final = 2.0
_REQUEST_SECONDS: Final = 5.0
_REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}


class Health:
    """The readiness checks of a process, and the small server that tells about them."""

    def __init__(self) -> None:
        self._checks: dict[str, Probe] = {}
        self._routes: dict[str, Route] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }
        self._draining = False
        self._was_ready = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def check(self, name: str, probe: Probe) -> None:
        """Ready only while `probe` says so. A probe that raises, or takes longer than two seconds, says no."""
        self._checks[name] = probe

    def route(self, path: str, answer: Route) -> None:
        """Serve one more path, such as /metrics."""
        self._routes[path] = answer

    def set_draining(self) -> None:
        """Not ready from now on, whatever the checks say: the process is on its way out."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """The process is on its way out."""
        return self._draining

    @property
    def starting(self) -> bool:
        """No check is there yet: the process is still being put together, and has no work that could be lost."""
        return not self._checks

    @property
    def was_ready(self) -> bool:
        """Somebody asked and was told "ready" at least once."""
        return self._was_ready

    async def readiness(self) -> tuple[bool, dict[str, bool]]:
        """Ready or not, and what each check says; no check at all is not ready, as start-up is not over."""
        names = list(self._checks)
        results = await asyncio.gather(*(_ask(name, self._checks[name]) for name in names))
        checks = dict(zip(names, results, strict=True))
        for name, holds in checks.items():
            metrics.set_to(Metric.CHECK, float(holds), check=name)
        ready = bool(checks) and all(checks.values()) and not self._draining
        self._was_ready = self._was_ready or ready
        return ready, checks

    async def serve(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError where the address is taken."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=8192)
        taken: int = self._server.sockets[0].getsockname()[1]
        return taken

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, content_type, body = await self._answer(head)
                reason = _REASONS.get(status, "Service Unavailable")
                writer.write(
                    f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
                    "cache-control: no-store\r\nconnection: close\r\n\r\n".encode()
                    + (b"" if head.startswith(b"HEAD ") else body)
                )
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # A caller that does not finish its request gets no answer; there is nobody to tell.
        except asyncio.CancelledError:
            pass  # The process ends. asyncio's streams (3.11) report a cancelled caller as an error, behind the last sentence.
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> tuple[int, str, bytes]:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        route = self._routes.get(path)
        if route is None:
            return 404, "text/plain", b"not found\n"
        if method not in (b"GET", b"HEAD"):
            return 405, "text/plain", b"only GET\n"
        return await route()

    async def _healthz(self) -> tuple[int, str, bytes]:
        return 200, "text/plain", b"alive\n"

    async def _readyz(self) -> tuple[int, str, bytes]:
        ready, checks = await self.readiness()
        body = msgspec.json.encode({"ready": ready, "draining": self._draining, "checks": checks})
        return (200 if ready else 503), "application/json", body

    async def _metrics(self) -> tuple[int, str, bytes]:
        await self.readiness()
        return 200, metrics.CONTENT_TYPE, metrics.exposition()


async def _ask(name: str, probe: Probe) -> bool:
    try:
        answer = probe()
        if inspect.isawaitable(answer):
            async with asyncio.timeout(PROBE_SECONDS):
                return bool(await answer)
        return bool(answer)
    except Exception as error:  # noqa: BLE001 - whatever a probe raises means "not ready", and the log says what it was
        logger.warning("health.probe_failed", check=name, error=f"{type(error).__name__}: {error}")
        return False
