"""The doors of client protocols: finds the one that a path belongs to, authenticates, reads the body, answers refusals in its
words."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog
from contracts.codes import Code
from starlette.types import Receive, Scope, Send

from gateway.domain.identity import Principal
from gateway.domain.path_flag import served_by
from gateway.domain.problems import Refusal
from gateway.entrypoints.bodies import read_body
from gateway.entrypoints.callers import caller_of
from gateway.entrypoints.protocol_http import STREAMING
from gateway.entrypoints.refusing import fault, refusal_of
from gateway.entrypoints.wiring import ANSWERING_PATH, PRINCIPAL, Wiring
from gateway.handlers.choose_path import HEADER
from gateway.handlers.send_from_client import FromClient

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request at a door: whose it is, what it says, how to answer."""

    wiring: Wiring
    principal: Principal
    scope: Scope
    headers: Mapping[str, str]
    body: bytes
    receive: Receive
    send: Send

    @property
    def path(self) -> str:
        """The path, decoded but for what was escaped in it."""
        path: str = self.scope["path"]
        return path

    @property
    def method(self) -> str:
        """GET and so on."""
        method: str = self.scope["method"]
        return method

    @property
    def query(self) -> str:
        """What stands behind the question mark."""
        query: bytes = self.scope["query_string"]
        return query.decode("latin-1")

    def allow(self, *methods: str) -> None:
        """Raises Refusal for any other method."""
        if self.method not in methods:
            raise Refusal(
                Code.METHOD_NOT_ALLOWED, "This path does not know the method.", headers={"allow": ", ".join(methods)}
            )

    def take_message(self) -> None:
        """Take one message out of the user's budget; raises Refusal."""
        wait = self.wiring.messages.take(self.principal.user_id, asyncio.get_running_loop().time())
        if wait:
            raise Refusal(Code.LIMIT_REACHED, "Too many messages at once; wait a moment.", retry_after=wait)

    async def with_path(self, wanted: FromClient) -> FromClient:
        """The same message with the path that answers it; raises Refusal."""
        path = await self.wiring.choose_path(
            self.principal,
            thread_id=wanted.thread_id,
            model=wanted.model,
            asked=self.headers.get(HEADER, ""),
        )
        self.scope[ANSWERING_PATH] = served_by(path)
        return replace(wanted, path=path)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        """Bounds what must come before the first byte."""
        return asyncio.timeout(seconds)


class ClientDoor(Protocol):
    """One client protocol."""

    @property
    def prefix(self) -> str:
        """What its paths begin with."""

    def route_of(self, path: str) -> str:
        """The template of a path, for spans; empty where there is nothing."""

    async def serve(self, request: Request) -> None:
        """Answer one request; raises Refusal before the first byte only."""

    async def refuse(self, send: Send, refusal: Refusal) -> None:
        """Say no in the protocol's words."""


class _Route:
    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class ClientDoors:
    """All of them, as an ASGI application."""

    def __init__(self, wiring: Wiring, doors: Sequence[ClientDoor]) -> None:
        self._wiring: Final = wiring
        self._doors: Final = doors

    def serves(self, path: str) -> bool:
        """Whether a path is one of theirs."""
        return self._find(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises nothing but what is our fault after the first byte."""
        door = self._find(scope["path"])
        if door is None:
            raise Refusal(Code.NOT_FOUND, "There is nothing at this path.")
        scope["route"] = _Route(door.route_of(scope["path"]))
        begun = False

        async def watched(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._serve(door, scope, receive, watched)
        except Exception as error:
            if begun:
                raise
            refusal = refusal_of(error)
            if refusal is None:
                logger.error("request.failed", path=scope["path"][:200], exc_info=error)
            scope.pop(STREAMING, None)
            await door.refuse(send, refusal or fault())

    async def _serve(self, door: ClientDoor, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        principal = scope[PRINCIPAL] = await caller_of(self._wiring, scope)
        # Transports send JSON under whatever content type fetch thinks of; the body is checked for what it is.
        body = await read_body(receive, headers, self._wiring.body_bytes)
        if body is None:
            return
        await door.serve(
            Request(
                wiring=self._wiring,
                principal=principal,
                scope=scope,
                headers=headers,
                body=body,
                receive=receive,
                send=send,
            )
        )

    def _find(self, path: str) -> ClientDoor | None:
        return next((door for door in self._doors if path == door.prefix or path.startswith(door.prefix + "/")), None)
