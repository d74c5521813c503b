"""uvicorn as part of a process that has its own signal handling: start, and stop with a limit."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from functools import partial
from typing import Final, cast

import uvicorn
from runtime.process import StartupError
from starlette.types import ASGIApp

from gateway.entrypoints.connections import CUT_SECONDS
from gateway.entrypoints.http_protocols import HttpProtocol, WebSocketProtocol

BACKLOG: Final = 2048
MESSAGE_BYTES: Final = 1_048_576
"""The largest WebSocket message that is read at all; `body_bytes` is what is accepted of it."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to runtime.process."""
        yield


class HttpServer:
    """Serves an ASGI application on one address; `grace` is what requests under way get once it stops, `cut` how long a client
    that does not read keeps a connection which should have ended, in seconds."""

    def __init__(self, app: ASGIApp, host: str, port: int, *, grace: float, cut: float = CUT_SECONDS) -> None:
        self._host: Final = host
        self._port: Final = port
        config = uvicorn.Config(
            app,
            loop="none",
            http=cast("type[asyncio.Protocol]", partial(HttpProtocol, cut)),
            ws=cast("type[asyncio.Protocol]", partial(WebSocketProtocol, cut)),
            ws_max_size=MESSAGE_BYTES,
            # Compression costs each connection memory and a token more time than it saves.
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        self._server: Final = _Server(config)
        self._socket: socket.socket | None = None

    def bind(self) -> int:
        """Take the address; returns the port. Raises StartupError where it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        taken = socket.socket(family)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((self._host, self._port))
        except OSError as error:
            taken.close()
            if error.errno == errno.EADDRINUSE:
                sentence = (
                    f"the address {self._host}:{self._port} is taken; stop what listens there "
                    "or set EVERTHREAD_PORT to another port"
                )
            else:
                sentence = f"cannot listen on {self._host}:{self._port}: {error.strerror or error}"
            raise StartupError(sentence) from error
        self._socket = taken
        port: int = taken.getsockname()[1]
        return port

    async def serve(self) -> None:
        """Serve until `stop`; returns when requests under way have ended or their time is up."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None
        await self._server.serve(sockets=[self._socket])

    @property
    def started(self) -> bool:
        """Connections are accepted."""
        return bool(self._server.started) and not self._server.should_exit

    async def wait_started(self) -> None:
        """Until connections are accepted."""
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has a flag, not an event
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Accept nothing new; let requests under way end."""
        self._server.should_exit = True
