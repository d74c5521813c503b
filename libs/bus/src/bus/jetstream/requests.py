"""Requests over one shared inbox. Unlike nats-py's own, a request fails at once when the connection is lost, none is
queued while there is no connection, and time-outs cost no timer each."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import nats.errors
from ulid import ULID

from bus.errors import BusError
from bus.jetstream.client import Message, write_headers
from bus.jetstream.connection import Connection

SWEEP_INTERVAL: Final = 0.25
NO_RESPONDERS: Final = "503"


class NoAnswerError(Exception):
    """No answer: timed out, nobody listens, or the connection is lost. Whether the request had its effect is unknown."""


class DeniedError(BusError):
    """The server does not let this user publish to the subject."""


class Requests:
    """Ask and collect. Build with `start`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = f"{connection.inbox_prefix}.{ULID()}."
        self._tokens = itertools.count()
        self._waiting: dict[str, tuple[asyncio.Future[Message], float, str]] = {}
        self._collecting: dict[str, Callable[[Message | None], None]] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Subscribe the inbox."""
        await self._connection.subscribe(self._prefix + "*", self._heard)
        self._connection.when_lost(self._fail_all)
        self._connection.when_denied(self._deny)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """End the sweep."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        self._fail_all()

    async def ask(
        self,
        subject: str,
        data: bytes,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        ahead: Sequence[tuple[bytes, Mapping[str, str]]] = (),
    ) -> Message:
        """One request, one answer; `ahead` goes to the same subject right before it, unanswered. Raises NoAnswerError,
        DeniedError."""
        loop = asyncio.get_running_loop()
        token = str(next(self._tokens))
        future: asyncio.Future[Message] = loop.create_future()
        self._waiting[token] = (future, loop.time() + timeout, subject)
        try:
            for body, head in ahead:
                self._put(subject, body, "", head)
            self._put(subject, data, self._prefix + token, headers)
            message = await future
        finally:
            self._waiting.pop(token, None)
        if not message.data and message.headers is not None and message.headers.get("Status") == NO_RESPONDERS:
            raise NoAnswerError(f"nobody answers on {subject}")
        return message

    def collect(self, heard: Callable[[Message | None], None]) -> str:
        """A reply subject for a request with many answers; `heard(None)` says that the connection is lost. Give it back
        with `stop_collecting`."""
        token = str(next(self._tokens))
        self._collecting[token] = heard
        return self._prefix + token

    def stop_collecting(self, reply: str) -> None:
        """Whatever still comes there is dropped."""
        self._collecting.pop(reply.rsplit(".", 1)[1], None)

    async def send(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Send without waiting for an answer. Raises NoAnswerError where there is no connection."""
        self._put(subject, data, reply, None)
        # Nothing else holds back who does not wait for an answer.
        await self._connection.client.room()

    def _put(self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None) -> None:
        if not self._connection.connected:
            raise NoAnswerError("not connected to NATS")
        client = self._connection.client
        try:
            client.put(subject, data, reply=reply, headers=write_headers(headers) if headers else b"")
        except nats.errors.MaxPayloadError as error:
            raise BusError(
                f"{len(data)} bytes are more than the server's max_payload of {client.max_payload}"
            ) from error
        except (nats.errors.BadSubjectError, ValueError) as error:
            raise BusError(f"{subject!r} cannot be sent to: {error}") from error

    def _heard(self, message: Message) -> None:
        token = message.subject.rsplit(".", 1)[1]
        waiting = self._waiting.get(token)
        if waiting is not None:
            if not waiting[0].done():
                waiting[0].set_result(message)
            return
        collecting = self._collecting.get(token)
        if collecting is not None:
            collecting(message)

    def _fail_all(self) -> None:
        for future, *_ in self._waiting.values():
            if not future.done():
                future.set_exception(NoAnswerError("the connection to NATS was lost"))
        for heard in list(self._collecting.values()):
            heard(None)

    def _deny(self, denied: str) -> None:
        # nats-py gives the server's error in lower case.
        for future, _, subject in self._waiting.values():
            if subject.lower() == denied and not future.done():
                future.set_exception(DeniedError(f"this NATS user may not publish to {denied}"))

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            now = loop.time()
            for future, deadline, _ in list(self._waiting.values()):
                if deadline <= now and not future.done():
                    future.set_exception(NoAnswerError("no answer in time"))
