"""uvicorn's protocols, whose requests know their connection, and which keep none whose client reads nothing."""

import asyncio
from typing import Any, Final, cast

import msgspec
from contracts.codes import Code
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from gateway.domain.problems import Refusal
from gateway.entrypoints.connections import CONNECTION, Connection, Farewell
from gateway.entrypoints.event_streams import is_event_stream
from gateway.entrypoints.protocol_http import STREAMING

STALLED_SECONDS: Final = 60.0
"""How long a client may read nothing of a response that is no stream of events, or that has ended."""

_UNREADABLE: Final = Refusal(
    Code.REQUEST_INVALID,
    "The request cannot be read: its method is none that is known, its address is longer than 64 KiB, or it is no HTTP.",
)
_DOCUMENT: Final = msgspec.json.encode({name: value for name, value in _UNREADABLE.document("").items() if value != ""})
UNREADABLE: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
    % (len(_DOCUMENT), _DOCUMENT)
)


class HttpProtocol(HttpToolsProtocol):
    """HTTP. Closing a connection waits for what is unread, and sending for room: neither has an end where a client reads nothing.
    Streams of events have: whoever may watch may be slow, and whoever may not is cut off by `cut` (connections.Farewell)."""

    def __init__(self, cut: float, **given: Any) -> None:
        super().__init__(**given)
        self._cut: Final = cut
        self._unread = 0
        self._has_read = False
        self._looking: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._connection = Connection(transport, self._cut)

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        super().on_message_begin()
        self.scope[CONNECTION] = self._connection  # type: ignore[typeddict-unknown-key]  # a key of ours

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)
        if self._connection is not None:
            self._connection.lost()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read reaches no application: its problem document is written here. No trace has begun."""
        self.transport.write(UNREADABLE)
        self.transport.close()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._has_read = True
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """See HttpToolsProtocol."""
        super().timeout_keep_alive_handler()
        self._watch()

    def _watch(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if self._looking is None and unsent:
            self._unread, self._has_read = unsent, False
            self._looking = self.loop.call_later(STALLED_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = None
        if self._has_read or self.transport.get_write_buffer_size() < self._unread or self._is_watched():
            self._watch()
        else:
            Connection(self.transport, self._cut).abort()

    def _is_watched(self) -> bool:
        """A stream of events goes on."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return STREAMING in self.cycle.scope or is_event_stream(self.cycle.scope["path"])


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket. One that does not answer a ping is cut off as well."""

    def __init__(self, cut: float, **given: Any) -> None:
        super().__init__(**given)
        self._cut: Final = cut

    def handle_connect(self, event: Request) -> None:
        """See WebSocketsSansIOProtocol."""
        super().handle_connect(event)
        if not self.handshake_complete:
            self.scope[CONNECTION] = Connection(self.transport, self._cut)  # type: ignore[typeddict-unknown-key]  # a key of ours

    def keepalive_timeout(self) -> None:
        """See WebSocketsSansIOProtocol."""
        super().keepalive_timeout()
        farewell = Farewell(cast("dict[str, Any]", self.scope))
        farewell.said()
        farewell.begin()
