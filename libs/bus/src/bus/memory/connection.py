"""One process's connection in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from contracts import subjects, topology
from contracts.topology import Consumer
from ulid import ULID

from bus import tracing
from bus.api import Delivery, Entry, Subscriber
from bus.errors import BusError, RevisionConflictError, UnavailableError
from bus.filters import matches
from bus.handling import handle, shortest_lease
from bus.letters import dead_letter_headers, dead_letter_id
from bus.looking import ConsumerLevel, StreamLevel
from bus.memory.broker import Broker
from bus.memory.consumer import MemoryConsumer
from bus.memory.follow import follow
from bus.memory.run_log import MemoryRunLog
from bus.memory.stream import MemoryStream, WrongLastSequenceError


class MemoryBus:
    """Bus over a Broker. Without a broker it has one of its own. Set `reachable` to False and nothing can be stored or read."""

    def __init__(self, instance: str, broker: Broker | None = None, *, released_for: float = 600.0) -> None:
        self.broker = broker or Broker()
        self.reachable = True
        self._name = f"{instance}-{ULID()}"
        self._stopping = asyncio.Event()
        self._lives = True
        self._served: list[str] = []
        self._handling: set[asyncio.Task[None]] = set()
        self._run_log = MemoryRunLog(
            self.broker.streams[topology.RUNS.name], lambda: self.reachable, released_for=released_for
        )

    @property
    def run_log(self) -> MemoryRunLog:
        return self._run_log

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self.reachable

    async def publish(
        self, subject: str, data: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> int:
        stream = self.broker.stream_for(subject)
        if stream is None:
            raise UnavailableError(f"no stream stores {subject}")
        if not self.reachable:
            raise UnavailableError("the broker is away")
        sent = {**(headers or {}), "Nats-Msg-Id": message_id}
        with tracing.sending(subject, sent, message_id):
            sequence, _ = stream.append(subject, data, message_id=message_id, headers=sent)
        return sequence

    async def compare_and_set(self, stream: str, subject: str, data: bytes, *, expected: int) -> int:
        """See bus.key_values.KeyValues."""
        if not self.reachable:
            raise UnavailableError("the broker is away")
        try:
            sequence, _ = self._stream(stream).append(subject, data, expected=(subject, expected))
        except WrongLastSequenceError as error:
            raise RevisionConflictError(f"{subject}: changed by somebody else after {expected}") from error
        return sequence

    async def put(self, subject: str, data: bytes, *, seconds: int) -> int:
        """See bus.key_values.Expiring."""
        stream = self.broker.stream_for(subject)
        if stream is None or not self.reachable:
            raise UnavailableError(f"nothing stores {subject}")
        return stream.append(subject, data, ttl=max(1, seconds))[0]

    async def purge(self, stream: str, subject_filter: str, *, keep: int = 0) -> int:
        """See bus.erasing.Erasing."""
        found = self._reachable(stream)
        before = len(found.entries)
        covered = [place for place, stored in found.entries.items() if matches(subject_filter, stored.entry.subject)]
        gone = set(covered[: max(0, len(covered) - keep)])
        found.remove(lambda stored: stored.entry.stream_sequence in gone)
        return before - len(found.entries)

    async def erase(self, stream: str, stream_sequence: int) -> None:
        """See bus.erasing.Erasing."""
        self._reachable(stream).remove(lambda stored: stored.entry.stream_sequence == stream_sequence)

    async def subjects_of(self, stream: str, subject_filter: str) -> list[str]:
        """See bus.erasing.Erasing."""
        return list(dict.fromkeys(entry.subject for entry in self._reachable(stream).after(0, subject_filter)))

    async def stream_level(self, stream: topology.Stream) -> StreamLevel | None:
        """See bus.looking.Looking."""
        found = self._reachable(stream.name)
        return StreamLevel(messages=len(found.entries), bytes=found.size)

    async def consumer_level(self, consumer: Consumer) -> ConsumerLevel | None:
        """See bus.looking.Looking. When something was stored is not kept here."""
        self._reachable(consumer.stream)
        found = self.broker.consumers.get((consumer.stream, consumer.name))
        if found is None:
            return None
        counts = found.deliveries
        return ConsumerLevel(
            pending=sum(1 for sequence in found.ready if sequence not in counts),
            ack_pending=len(counts),
            redelivered=sum(1 for count in counts.values() if count > 1),
            oldest_at=None,
        )

    async def schedule(self, timer: str, *, at: datetime, target: str, data: bytes) -> None:
        if not self.reachable:
            raise UnavailableError("the broker is away")
        self.broker.timers.set(timer, at=at, target=target, data=data)

    async def unschedule(self, timer: str) -> None:
        if not self.reachable:
            raise UnavailableError("the broker is away")
        self.broker.timers.forget(timer)

    async def consume(self, consumer: Consumer, subscriber: Subscriber, *, concurrency: int) -> None:
        source = self.broker.consumers.get((consumer.stream, consumer.name))
        if source is None:
            raise BusError(f"the stream {consumer.stream} has no consumer {consumer.name}: it is not in the topology")
        settlement = _MemorySettlement(self.broker, source, consumer, lambda: self._lives)
        slots = asyncio.Semaphore(concurrency)
        stop = asyncio.create_task(self._stopping.wait())
        running: set[asyncio.Task[None]] = set()
        following: asyncio.Task[Delivery] | None = None
        try:
            while not stop.done():
                slot = asyncio.create_task(slots.acquire())
                await asyncio.wait({slot, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not slot.done():
                    slot.cancel()
                    break
                following = asyncio.create_task(source.next())
                await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done() or not self._lives:
                    # What was on its way to a process that has died is lost; its lease ends.
                    break
                task = asyncio.create_task(self._handle(following.result(), subscriber, consumer, settlement, slots))
                running.add(task)
                self._handling.add(task)
                task.add_done_callback(running.discard)
                task.add_done_callback(self._handling.discard)
            if running:
                await asyncio.wait(set(running))
        finally:
            stop.cancel()
            if following is not None:
                following.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def stop_consuming(self) -> None:
        self._stopping.set()

    async def nak(self, reply: str) -> None:
        stream, consumer, sequence = _parse_reply(reply)
        source = self.broker.consumers.get((stream, consumer))
        if source is not None:
            source.nak(sequence, 0.0)

    async def request(self, subject: str, data: bytes, *, timeout: float) -> bytes | None:
        answer = self.broker.answers.get(subject)
        if answer is None:
            return None
        try:
            return await asyncio.wait_for(answer(data), timeout)
        except TimeoutError:
            return None

    async def tell(self, subject: str, data: bytes) -> None:
        if not self.reachable:
            raise UnavailableError("the broker is away")
        self.broker.told.append((subject, data))

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self.broker.answers[subject] = answer
        self._served.append(subject)

    async def on_disconnect(
        self, heard: Callable[[str], Awaitable[None]], *, doubtful: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        self.broker.death_listeners[self._name] = (heard, doubtful or heard)

    def follow_stream(
        self, stream: str, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        return follow(self._stream(stream), subject_filter, after)

    async def read_stream(self, stream: str, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        for entry in self._stream(stream).after(after, subject_filter):
            yield entry

    async def last_of(self, stream: str, subject_filter: str) -> Entry | None:
        return self._stream(stream).last(subject_filter)

    async def values_of(self, stream: str, subject_filter: str) -> Sequence[Entry]:
        return self._stream(stream).after(0, subject_filter)

    @asynccontextmanager
    async def watch_live(self, subject_filter: str, heard: Callable[[Entry], None]) -> AsyncIterator[None]:
        inner = subject_filter.removeprefix(subjects.LIVE)
        streams = [stream for stream in self.broker.streams.values() if stream.config.republish]
        for stream in streams:
            stream.heard[heard] = inner
        try:
            yield
        finally:
            for stream in streams:
                stream.heard.pop(heard, None)

    async def drain(self) -> None:
        self.stop_consuming()
        if self._handling:
            await asyncio.wait(set(self._handling))
        await self._leave()

    async def kill(self) -> None:
        """The process dies: from here on nothing that it does reaches anybody, and the others hear its death notice."""
        self._lives = self.reachable = False
        self._stopping.set()
        for task in list(self._handling):
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)
        await self._leave()

    async def _leave(self) -> None:
        self.reachable = False
        for subject in self._served:
            self.broker.answers.pop(subject, None)
        await self.broker.announce_death(self._name)

    def _stream(self, name: str) -> MemoryStream:
        return self.broker.streams[name]

    def _reachable(self, name: str) -> MemoryStream:
        if not self.reachable:
            raise UnavailableError("the broker is away")
        return self._stream(name)

    async def _handle(
        self,
        delivery: Delivery,
        subscriber: Subscriber,
        consumer: Consumer,
        settlement: "_MemorySettlement",
        slots: asyncio.Semaphore,
    ) -> None:
        beats = asyncio.create_task(settlement.beat(delivery, shortest_lease(consumer) / 3))
        try:
            await handle(delivery, subscriber, consumer, settlement)
        finally:
            beats.cancel()
            slots.release()


class _MemorySettlement:
    """`lives`: whether the process does. One that has died settles nothing, whatever of it still runs in this one."""

    def __init__(self, broker: Broker, source: MemoryConsumer, consumer: Consumer, lives: Callable[[], bool]) -> None:
        self._broker = broker
        self._source = source
        self._consumer = consumer
        self._lives = lives

    async def beat(self, delivery: Delivery, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            for reply in delivery.replies if self._lives() else ():
                self._source.beat(_parse_reply(reply)[2])

    async def ack(self, reply: str) -> None:
        if self._lives():
            self._source.ack(_parse_reply(reply)[2])

    async def nak(self, reply: str, delay: float) -> None:
        if self._lives():
            self._source.nak(_parse_reply(reply)[2], delay)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        if not self._lives():
            return
        headers = dead_letter_headers(
            reason=reason,
            stream=self._consumer.stream,
            consumer=self._consumer.name,
            subject=delivery.subject,
            stream_sequence=delivery.stream_sequence,
            delivered=delivery.delivered,
        )
        self._broker.streams[topology.DEAD_LETTERS.name].append(
            subjects.dead_letter_subject(self._consumer.stream, self._consumer.name),
            delivery.data,
            message_id=dead_letter_id(self._consumer.stream, self._consumer.name, delivery.stream_sequence),
            headers={**delivery.headers, **headers},
        )
        self._source.ack(delivery.stream_sequence)


def _parse_reply(reply: str) -> tuple[str, str, int]:
    tokens = reply.split(".")
    return tokens[2], tokens[3], int(tokens[5])
