"""What an operator does to the broker: look at streams and consumers, compare them with the topology, copy streams out and in.

Needs a user who may do that: admin. Services never use this page.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from contracts.topology import Consumer, Stream
from nats.aio.subscription import Subscription
from ulid import ULID

from bus.errors import BusError, UnavailableError
from bus.jetstream import api_calls
from bus.jetstream.api_calls import ApiError, call_api
from bus.jetstream.client import Message, NatsClient
from bus.jetstream.connection import Connection, connection_name, inbox_prefix_of
from bus.jetstream.reconcile import check_server, consumer_config, stream_config
from bus.jetstream.requests import NoAnswerError, Requests

CHUNK_BYTES: Final = 256 * 1024
SILENCE: Final = 30.0
"""Seconds without a piece of a copy after which it has failed."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing on the server that is not as the topology wants it. `found` is None where the whole thing is missing."""

    kind: str
    name: str
    field: str
    wanted: Any
    found: Any


class Administration:
    """Over one connection. Make it with `administration`."""

    def __init__(self, connection: Connection, requests: Requests) -> None:
        self._connection = connection
        self._requests = requests

    @property
    def server_version(self) -> str:
        """The version of the server this is connected to."""
        version = self._connection.client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    @property
    def in_cluster(self) -> bool:
        """The server this is connected to is one of a cluster: only there a stream may have several copies."""
        return self._connection.client.in_cluster

    async def account(self) -> dict[str, Any]:
        """JetStream's figures of the account: `memory`, `storage`, `streams`, `consumers`, `limits`."""
        found: dict[str, Any] = await call_api(self._requests, "INFO")
        return found

    async def streams(self) -> dict[str, dict[str, Any]]:
        """Every stream of the account as the server describes it, by name. Raises BusError, UnavailableError."""
        return {info["config"]["name"]: info for info in await self._list("STREAM.LIST", "streams")}

    async def consumers(self, stream: str) -> dict[str, dict[str, Any]]:
        """Every consumer of a stream as the server describes it, by name."""
        return {info["name"]: info for info in await self._list(f"CONSUMER.LIST.{stream}", "consumers")}

    async def _list(self, call: str, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = await call_api(self._requests, call, {"offset": len(found)})
            page = answer.get(what) or []
            found += page
            if not page or len(found) >= int(answer["total"]):
                return found

    async def differences(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], *, replicas: int
    ) -> list[Difference]:
        """What a reconcile would change, in its order. Changes nothing."""
        found = await self.streams()
        differences = []
        for stream in streams:
            info = found.get(stream.name)
            differences += _compare("stream", stream.name, stream_config(stream, replicas), info)
        held = {
            name: await self.consumers(name)
            for name in dict.fromkeys(consumer.stream for consumer in consumers)
            if name in found
        }
        for consumer in consumers:
            info = held.get(consumer.stream, {}).get(consumer.name)
            name = f"{consumer.stream}/{consumer.name}"
            differences += _compare("consumer", name, consumer_config(consumer, replicas), info)
        return differences

    async def copy_out(self, stream: str) -> tuple[dict[str, Any], AsyncGenerator[bytes, None]]:
        """A stream as of now, with its consumers: its description, and the pieces of the server's own archive format.

        Raises BusError where the server refuses, UnavailableError where it falls silent in the middle.
        """
        pieces: asyncio.Queue[Message | None] = asyncio.Queue()
        inbox = f"{self._connection.inbox_prefix}.copy.{ULID()}"
        # Its own subject, spelled out: for one that only a wildcard covers the server waits two seconds.
        subscription = await self._connection.subscribe(inbox, pieces.put_nowait)
        body = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES, "no_consumers": False}
        try:
            answer = await call_api(self._requests, f"STREAM.SNAPSHOT.{stream}", body, timeout=SILENCE)
        except BusError:
            await self._connection.unsubscribe(subscription)
            raise
        described = {"config": answer["config"], "state": answer["state"]}
        return described, self._pieces(stream, pieces, subscription)

    async def _pieces(
        self, stream: str, pieces: "asyncio.Queue[Message | None]", subscription: Subscription
    ) -> AsyncGenerator[bytes, None]:
        def lost() -> None:
            pieces.put_nowait(None)

        self._connection.when_lost(lost)
        try:
            while True:
                try:
                    piece = await asyncio.wait_for(pieces.get(), SILENCE)
                except TimeoutError as error:
                    raise UnavailableError(f"{stream}: the server sent no further piece of the copy") from error
                if piece is None:
                    raise UnavailableError(f"{stream}: the connection was lost while the stream was copied")
                if not piece.data:
                    status = (piece.headers or {}).get("Status", "204")
                    if status != "204":
                        said = (piece.headers or {}).get("Description", status)
                        raise BusError(f"{stream}: the server broke the copy off: {said}")
                    return
                yield piece.data
                if piece.reply:
                    # The server holds further pieces back until it hears that this one has arrived.
                    await self._send(piece.reply)
        finally:
            self._connection.forget(lost)
            await self._connection.unsubscribe(subscription)

    async def _send(self, subject: str) -> None:
        try:
            await self._requests.send(subject, b"")
        except NoAnswerError as error:
            raise UnavailableError(f"the connection was lost while a stream was copied: {error}") from error

    async def copy_in(self, described: dict[str, Any], pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """Make a stream from what `copy_out` gave; the stream must not exist. Its description afterwards.

        Raises BusError where the server refuses, UnavailableError where it is not known whether the stream is there.
        """
        name = described["config"]["name"]
        answer = await call_api(self._requests, f"STREAM.RESTORE.{name}", described, timeout=SILENCE)
        to = answer["deliver_subject"]
        try:
            async for piece in pieces:
                taken = await self._requests.ask(to, piece, timeout=SILENCE)
                _raise_if_refused(name, taken)
            ended = await self._requests.ask(to, b"", timeout=SILENCE)
        except NoAnswerError as error:
            raise UnavailableError(f"{name}: the server stopped taking the copy: {error}") from error
        _raise_if_refused(name, ended)
        info: dict[str, Any] = json.loads(ended.data)
        return info

    async def delete_stream(self, name: str) -> None:
        """Delete a stream with everything in it. Harmless where there is none."""
        await self._delete(f"STREAM.DELETE.{name}")

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer, so that its successor starts at the beginning. Harmless where there is none."""
        await self._delete(f"CONSUMER.DELETE.{stream}.{name}")

    async def _delete(self, call: str) -> None:
        try:
            await call_api(self._requests, call)
        except ApiError as error:
            if error.code not in (api_calls.STREAM_NOT_FOUND, api_calls.CONSUMER_NOT_FOUND):
                raise


def _compare(kind: str, name: str, wanted: dict[str, Any], info: dict[str, Any] | None) -> list[Difference]:
    if info is None:
        return [Difference(kind=kind, name=name, field="", wanted="there", found=None)]
    found = info["config"]
    return [
        Difference(kind=kind, name=name, field=field, wanted=value, found=found.get(field))
        for field, value in wanted.items()
        # The server leaves out what is false; so absent equals false here.
        if (found.get(field) or False) != (value or False)
    ]


def _raise_if_refused(stream: str, message: Message) -> None:
    if message.data:
        refusal = json.loads(message.data).get("error")
        if refusal:
            raise BusError(f"{stream}: the server refuses the copy: {refusal.get('description', refusal)}")


@asynccontextmanager
async def administration(nats_url: str, *, name: str, budget: float = 10.0) -> AsyncIterator[Administration]:
    """Connect as an operator. Raises ServerTooOldError, UnavailableError, BusError where the server refuses the user."""
    servers = [server.strip() for server in nats_url.split(",")]
    connection = Connection(NatsClient(), connection_name(name), inbox_prefix_of(servers[0]))
    await connection.open(servers, budget)
    requests = Requests(connection)
    try:
        check_server(connection)
        await requests.start()
        yield Administration(connection, requests)
    finally:
        await connection.drain()
        await requests.stop()
