"""Connections under a request, for what ASGI has no word for: one whose client does not read can only be aborted. Closing it
would wait, with all that is unread, for as long as the client likes."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import Scope

logger = structlog.get_logger()

CONNECTION: Final = "everthread.connection"
"""In the scope: the Connection that the request came on."""
CUT_SECONDS: Final = 5.0
"""How long a client that does not read keeps a connection on which something should have ended."""
_LOOKS: Final = 20
"""How often it is looked at meanwhile."""
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Connection:
    """One client's connection. `grace` is in seconds."""

    __slots__ = ("_is_lost", "_notice", "_transport", "grace")

    def __init__(self, transport: asyncio.Transport, grace: float = CUT_SECONDS) -> None:
        self._transport: Final = transport
        self.grace: Final = grace
        self._is_lost = False
        self._notice: Callable[[], None] | None = None

    def when_lost(self, notice: Callable[[], None] | None) -> None:
        """Call `notice` when the client has left, at once if it has; None ends that. One at a time: requests on a connection are
        served one after another. In place of a task that waits for `http.disconnect`, which is 2 KiB for who waits all day."""
        self._notice = notice
        if self._is_lost and notice is not None:
            notice()

    def lost(self) -> None:
        """The client has left."""
        self._is_lost = True
        if self._notice is not None:
            self._notice()

    @property
    def unsent(self) -> int:
        """Bytes that wait here as the client reads nothing: the system's buffers are full."""
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """End it now, and forget what was not read, in the system's buffers as well. Idempotent."""
        found = self._transport.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()


class Farewell:
    """The end of something on a connection, which its client has to take within the grace. What was ended must be `said`, and
    then read: whole, as nothing follows; or, where the connection goes on for something else (`goes_on`), any of it."""

    __slots__ = ("_begun", "_connection", "_goes_on", "_said", "_until", "_waiting")

    def __init__(self, scope: Scope, *, goes_on: bool = False) -> None:
        self._connection: Final[Connection | None] = scope.get(CONNECTION)
        self._goes_on: Final = goes_on
        self._begun = False
        self._said = False
        self._until = 0.0
        self._waiting = 0

    def begin(self) -> None:
        """From now on the client has its grace. Idempotent."""
        if self._begun or self._connection is None:
            return
        self._begun = True
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._connection.grace
        loop.call_later(self._connection.grace / _LOOKS, self._look, self._connection, loop)

    def said(self) -> None:
        """All that was to be said is handed over, or there is nobody any more who could hear it."""
        self._said = True

    def _look(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        unsent = connection.unsent
        if self._said and (not unsent or (self._goes_on and unsent < self._waiting)):
            return
        self._waiting = unsent
        if loop.time() < self._until:
            loop.call_later(connection.grace / _LOOKS, self._look, connection, loop)
            return
        logger.info("connection.cut", unsent=unsent)
        connection.abort()
