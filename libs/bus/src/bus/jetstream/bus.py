"""The Bus over one connection to NATS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Final, Self

import structlog
from contracts import topology
from contracts.subjects import DEATH_NOTICES, LIVE, live
from contracts.topology import Consumer, Stream
from nats.aio.client import Client
from ulid import ULID

from bus import tracing
from bus.api import Delivery, Entry, Outcome, Subscriber
from bus.errors import BusError, RevisionConflictError, UnavailableError
from bus.jetstream import erasing, looking, timers
from bus.jetstream.client import Message, NatsClient
from bus.jetstream.connection import CONNECT_BUDGET, Connection, connection_name, inbox_prefix_of
from bus.jetstream.dead_letter_desk import DeadLetterDesk
from bus.jetstream.dead_letters import DeadLetters
from bus.jetstream.death_notices import SETTLED_SECONDS, read_notice
from bus.jetstream.direct_get import Reader
from bus.jetstream.follow import live_entry_of
from bus.jetstream.followers import Followers
from bus.jetstream.reconcile import check_server, reconcile
from bus.jetstream.requests import NoAnswerError, Requests
from bus.jetstream.run_log import EXPECTED_SEQUENCE, MESSAGE_ID, JetStreamRunLog
from bus.jetstream.storing import WrongLastSequenceError, store
from bus.jetstream.subscriber import Subscription, send_nak
from bus.key_values import LIFE_HEADER, PUT_BUDGET
from bus.looking import ConsumerLevel, StreamLevel

logger = structlog.get_logger()

DRAIN_TIMEOUT: Final = 10.0
RECONCILE_AGAIN: Final = 1.0
"""Seconds until streams that could not be made after a reconnect are tried again."""


class JetStreamBus:
    """Bus over NATS. Build with `connect`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._requests = Requests(connection)
        self._reader = Reader(connection, self._requests)
        self._followers = Followers(connection, self._reader)
        self._dead_letters = DeadLetters(connection, self._requests, self._reader)
        self.desk: Final = DeadLetterDesk(connection, self._requests, self._reader)
        """Dead letters, for a person. Needs the user admin."""
        self._run_log = JetStreamRunLog(connection, self._requests, self._reader, self._followers)
        self._subscriptions: set[Subscription] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> Self:
        """Subscribe what the connection needs for itself."""
        await self._requests.start()
        return self

    @property
    def run_log(self) -> JetStreamRunLog:
        return self._run_log

    @property
    def name(self) -> str:
        return self._connection.name

    @property
    def connected(self) -> bool:
        return self._connection.connected

    @property
    def client(self) -> Client:
        """The connection itself, for what goes on beside the streams: NATS micro services. Not to be closed."""
        return self._connection.client

    async def reconcile(
        self,
        *,
        streams: Sequence[Stream] = topology.STREAMS,
        consumers: Sequence[Consumer] = topology.CONSUMERS,
        replicas: int = 1,
    ) -> None:
        """Make the server's streams and consumers match the topology. Idempotent, safe when several do it at once. Raises
        ServerTooOldError, UnavailableError, BusError."""
        await reconcile(self._connection, self._requests, streams=streams, consumers=consumers, replicas=replicas)

    async def keep_reconciled(self, *, replicas: int = 1) -> None:
        """Reconcile again after each reconnect, until cancelled: a server that was started anew has lost the streams that it
        keeps in memory. For one service whose user may create streams; the others wait for it."""
        regained = asyncio.Event()
        self._connection.when_regained(regained.set)
        while True:
            await regained.wait()
            regained.clear()
            try:
                await self.reconcile(replicas=replicas)
            except BusError as error:
                logger.warning("topology.unreconciled", error=str(error), again_in=RECONCILE_AGAIN)
                await asyncio.sleep(RECONCILE_AGAIN)
                regained.set()

    async def publish(
        self, subject: str, data: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> int:
        sent = dict(headers or {})
        sent[MESSAGE_ID] = message_id
        with tracing.sending(subject, sent, message_id):
            try:
                receipt = await store(self._connection, self._requests, subject, data, sent)
            except WrongLastSequenceError as error:
                raise BusError(f"{subject}: publish takes no expectations; use the run log") from error
        return receipt.stream_sequence

    async def compare_and_set(self, stream: str, subject: str, data: bytes, *, expected: int) -> int:
        """See bus.key_values.KeyValues."""
        headers = {MESSAGE_ID: f"{subject}:{ULID()}", EXPECTED_SEQUENCE: str(expected)}
        try:
            receipt = await store(self._connection, self._requests, subject, data, headers)
        except WrongLastSequenceError as error:
            last = None if error.first_try else await self._reader.last(stream, subject)
            if last is None or last.data != data:
                raise RevisionConflictError(f"{subject}: changed by somebody else after {expected}") from error
            return last.stream_sequence
        return receipt.stream_sequence

    async def put(self, subject: str, data: bytes, *, seconds: int) -> int:
        """See bus.key_values.Expiring."""
        headers = {MESSAGE_ID: f"{subject}:{ULID()}", LIFE_HEADER: f"{max(1, seconds)}s"}
        try:
            receipt = await store(self._connection, self._requests, subject, data, headers, budget=PUT_BUDGET)
        except WrongLastSequenceError as error:
            raise BusError(f"{subject}: a put expects nothing of what was there") from error
        return receipt.stream_sequence

    async def purge(self, stream: str, subject_filter: str, *, keep: int = 0) -> int:
        """See bus.erasing.Erasing."""
        return await erasing.purge(self._requests, stream, subject_filter, keep)

    async def erase(self, stream: str, stream_sequence: int) -> None:
        """See bus.erasing.Erasing."""
        await erasing.erase(self._requests, stream, stream_sequence)

    async def subjects_of(self, stream: str, subject_filter: str) -> list[str]:
        """See bus.erasing.Erasing."""
        return await erasing.subjects_of(self._requests, stream, subject_filter)

    async def stream_level(self, stream: Stream) -> StreamLevel | None:
        """See bus.looking.Looking."""
        return await looking.stream_level(self._requests, stream)

    async def consumer_level(self, consumer: Consumer) -> ConsumerLevel | None:
        """See bus.looking.Looking."""
        return await looking.consumer_level(self._requests, self._reader, consumer)

    async def schedule(self, timer: str, *, at: datetime, target: str, data: bytes) -> None:
        await timers.schedule(self._connection, self._requests, timer, at=at, target=target, data=data)

    async def unschedule(self, timer: str) -> None:
        await timers.unschedule(self._requests, timer)

    async def consume(self, consumer: Consumer, subscriber: Subscriber, *, concurrency: int) -> None:
        if self._stopping:
            return
        subscription = Subscription(
            self._connection, self._requests, self._dead_letters, consumer, subscriber, concurrency
        )
        self._subscriptions.add(subscription)
        try:
            await subscription.run()
        finally:
            self._subscriptions.discard(subscription)

    def stop_consuming(self) -> None:
        self._stopping = True
        for subscription in self._subscriptions:
            subscription.stop()

    async def move_dead_letter(self, advisory: Delivery) -> Outcome:
        """The subscriber of topology.DEAD: moves what was delivered too often to DEAD_LETTERS."""
        return await self._dead_letters.move(advisory)

    async def nak(self, reply: str) -> None:
        if reply:
            await send_nak(self._requests, reply, 0.0)

    async def request(self, subject: str, data: bytes, *, timeout: float) -> bytes | None:
        try:
            message = await self._requests.ask(subject, data, timeout=timeout)
        except NoAnswerError:
            return None
        return bytes(message.data)

    async def tell(self, subject: str, data: bytes) -> None:
        try:
            await self._requests.send(subject, data)
        except NoAnswerError as error:
            raise UnavailableError(f"cannot send to {subject}: {error}") from error

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        async def reply_to(message: Message) -> None:
            try:
                await self._requests.send(message.reply, await answer(message.data))
            except (BusError, NoAnswerError) as error:
                logger.warning("request.unanswered", subject=message.subject, error=str(error))

        def heard(message: Message) -> None:
            if message.reply:
                self._run_in_background(reply_to(message))

        await self._connection.subscribe(subject, heard)

    async def on_disconnect(
        self, heard: Callable[[str], Awaitable[None]], *, doubtful: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        def notice(message: Message) -> None:
            death = read_notice(message.data)
            if death is None or death.name == self.name:
                return
            is_certain = death.is_certain and self._connection.stood_for >= SETTLED_SECONDS
            self._run_in_background(heard(death.name) if is_certain or doubtful is None else doubtful(death.name))

        await self._connection.subscribe(DEATH_NOTICES, notice)

    def follow_stream(
        self, stream: str, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        return self._followers.follow(stream, subject_filter, after)

    async def read_stream(self, stream: str, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        async for entries in self._reader.read(stream, subject_filter, after):
            for entry in entries:
                yield entry

    async def last_of(self, stream: str, subject_filter: str) -> Entry | None:
        return await self._reader.last(stream, subject_filter)

    async def values_of(self, stream: str, subject_filter: str) -> Sequence[Entry]:
        return await self._reader.known(stream, subject_filter)

    @asynccontextmanager
    async def watch_live(self, subject_filter: str, heard: Callable[[Entry], None]) -> AsyncIterator[None]:
        def deliver(message: Message) -> None:
            entry = live_entry_of(message)
            if entry is not None:
                heard(entry)

        subject = subject_filter if subject_filter.startswith(LIVE) else live(subject_filter)
        subscription = await self._connection.subscribe(subject, deliver)
        try:
            yield
        finally:
            await self._connection.unsubscribe(subscription)

    async def drain(self) -> None:
        self.stop_consuming()
        if self._subscriptions:
            await asyncio.wait({subscription.ended for subscription in self._subscriptions}, timeout=DRAIN_TIMEOUT)
        await self._followers.stop()
        if self._background:
            await asyncio.wait(set(self._background), timeout=DRAIN_TIMEOUT)
        await self._connection.drain()
        await self._requests.stop()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _run_in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Future[None]") -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("bus.callback_failed", exc_info=error)


async def connect(
    nats_url: str, *, instance: str, inbox_prefix: str | None = None, budget: float = CONNECT_BUDGET
) -> JetStreamBus:
    """Connect as `instance`, trying for `budget` seconds. `nats_url` may name several servers, separated by commas; the
    user of the first gives the private inbox, unless `inbox_prefix` does. Raises ServerTooOldError, UnavailableError, and
    BusError where the server refuses the user."""
    servers = [server.strip() for server in nats_url.split(",")]
    prefix = inbox_prefix or inbox_prefix_of(servers[0])
    connection = Connection(NatsClient(), connection_name(instance), prefix)
    await connection.open(servers, budget)
    try:
        check_server(connection)
        return await JetStreamBus(connection).start()
    except (BusError, UnavailableError):
        await connection.drain()
        raise
