"""`/v1/ws` as a raw ASGI endpoint: many subscriptions and calls on one connection, by the same handlers as over HTTP."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from contracts.codes import Code
from starlette.types import Receive, Scope, Send

from gateway.domain import socket_frames as frames
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.entrypoints.connections import Farewell
from gateway.entrypoints.event_streams import EventStreams
from gateway.entrypoints.socket_session import GoneError, Session
from gateway.entrypoints.wiring import Wiring
from gateway.handlers.use_tickets import redeem_ticket

logger = structlog.get_logger()

PATH: Final = "/v1/ws"
AUTH_SECONDS: Final = 10.0

DRAINING: Final = 1012
BINARY: Final = 1003
UNAUTHENTICATED: Final = 4401
TOO_MANY: Final = 4429
FAULT: Final = 1011


class WebSockets:
    """All WebSockets of this process. `drain` sends every client elsewhere."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring: Final = wiring
        self._open: set[_Connection] = set()
        self._draining = False

    @property
    def open(self) -> int:
        """How many subscriptions there are."""
        return sum(connection.subscriptions for connection in self._open)

    def drain(self) -> None:
        """End every connection with close code 1012; new ones are refused from now on."""
        self._draining = True
        for connection in list(self._open):
            connection.end("draining", DRAINING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; nothing is raised but cancellation."""
        await receive()
        if scope["path"] != PATH or not self._allows(scope):
            # Before it is accepted, this is an HTTP 403.
            await _quietly(send({"type": "websocket.close", "code": 1008}))
            return
        if not await _quietly(send({"type": "websocket.accept"})):
            return
        connection = _Connection(self._wiring, scope, receive, send)
        self._open.add(connection)
        if self._draining:
            connection.end("draining", DRAINING)
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)

    def _allows(self, scope: Scope) -> bool:
        """Browsers always say which page it is; who does not say is no browser."""
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        return all(origin in self._wiring.origins for origin in origins)


@dataclass(frozen=True, slots=True)
class LongLived:
    """Everything that must be told when this process stops."""

    streams: EventStreams
    sockets: WebSockets

    @property
    def open(self) -> int:
        """How many viewers there are."""
        return self.streams.open + self.sockets.open

    def drain(self) -> None:
        """Send every client elsewhere."""
        self.streams.drain()
        self.sockets.drain()


class _Connection:
    """One connection, from its acceptance to its close frame. `end` may be called by anybody."""

    def __init__(self, wiring: Wiring, scope: Scope, receive: Receive, send: Send) -> None:
        self._wiring: Final = wiring
        self._scope: Final = scope
        self._farewell: Final = Farewell(scope)
        self._receive: Final = receive
        self._send: Final = send
        self._turn: Final = asyncio.Lock()
        self._session: Session | None = None
        self._ended: Final = asyncio.Event()
        self._reason = ""
        self._code = 1000

    @property
    def subscriptions(self) -> int:
        """How many subscriptions it has."""
        return 0 if self._session is None else self._session.count

    def end(self, reason: str, code: int) -> None:
        """Tell the client why, and close; whoever does not read that is cut off."""
        if not self._ended.is_set():
            self._reason, self._code = reason, code
            self._ended.set()
            self._farewell.begin()

    async def say(self, messages: list[str]) -> None:
        """Send messages together, when it is this caller's turn: turns are given in the order in which they were asked for.
        Waits while the socket is full; raises GoneError."""
        async with self._turn:
            try:
                for message in messages:
                    await self._send({"type": "websocket.send", "text": message})
            except (OSError, RuntimeError) as error:
                raise GoneError from error

    async def serve(self) -> None:
        """Until the client leaves, its token or this process ends."""
        talking = asyncio.create_task(self._talk(), name="websocket")
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait([talking, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _stop(talking)
            await _stop(ended)
        try:
            await self._close()
        finally:
            self._farewell.said()

    async def _talk(self) -> None:
        try:
            principal = await self._authenticated()
            if principal is None:
                return
            if not self._wiring.streams.enter(principal.user_id):
                await self._refuse(Refusal(Code.LIMIT_REACHED, "Too many streams are open; close one first."), TOO_MANY)
                return
            session = self._session = Session(self._wiring, principal, self.say, self._scope)
            lifetime = max(principal.expires_at - self._wiring.clock(), 0)
            timer = asyncio.get_running_loop().call_later(lifetime, self.end, "token_expired", UNAUTHENTICATED)
            try:
                await self.say([frames.answer("authenticated", user_id=principal.user_id)])
                while (text := await self._next()) is not None:
                    await session.do(text)
            finally:
                timer.cancel()
                await session.close()
                self._wiring.streams.leave(principal.user_id)
        except GoneError:
            return
        except Exception as error:
            logger.error("websocket.failed", exc_info=error)
            self.end("internal", FAULT)

    async def _authenticated(self) -> Principal | None:
        """The caller by the first message; None where it named nobody, or left."""
        try:
            try:
                async with asyncio.timeout(AUTH_SECONDS):
                    text = await self._next()
            except TimeoutError as error:
                late = f"Nobody authenticated within {AUTH_SECONDS:.0f} seconds."
                raise Refusal(Code.TOKEN_MISSING, late) from error
            if text is None:
                return None
            command = frames.command_of(text)
            if not isinstance(command, frames.Auth) or bool(command.token) == bool(command.ticket):
                raise Refusal(Code.TOKEN_MISSING, 'The first message is {"type": "auth"} with a "token" or a "ticket".')
            if command.ticket:
                wiring, now = self._wiring, asyncio.get_running_loop().time()
                return await redeem_ticket(
                    wiring.tickets, wiring.ticket_store, command.ticket, now=now, clock=wiring.clock()
                )
            return await self._wiring.authenticator.authenticate(f"Bearer {command.token}")
        except Refusal as refusal:
            # A provider whose keys cannot be had says nothing about the token: that is worth another attempt.
            code = DRAINING if refusal.status == 503 else UNAUTHENTICATED
            await self._refuse(refusal, code)
        return None

    async def _refuse(self, refusal: Refusal, code: int) -> None:
        await self.say([frames.error(refusal)])
        self.end("", code)

    async def _next(self) -> str | None:
        """The next message; None at the end."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        if text is None:
            self.end("binary_message", BINARY)
        return text

    async def _close(self) -> None:
        """Say goodbye, where there is still somebody."""
        if self._reason:
            with suppress(GoneError):
                await self.say([frames.answer("end", reason=self._reason)])
        await _quietly(self._send({"type": "websocket.close", "code": self._code, "reason": self._reason}))


async def _stop(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def _quietly(sending: Awaitable[None]) -> bool:
    """Whether it was sent: the client may have left, or the server closed the connection before us."""
    try:
        await sending
    except (OSError, RuntimeError):
        return False
    return True
