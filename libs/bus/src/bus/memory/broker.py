"""The cluster that memory connections share."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from contracts import subjects, topology

from bus.filters import matches
from bus.letters import dead_letter_headers, dead_letter_id
from bus.memory.consumer import MemoryConsumer
from bus.memory.stream import MemoryStream
from bus.memory.timers import MemoryTimers


class Broker:
    """Streams and consumers as the topology says, reconciled from the start. One event loop; not thread-safe. `clock` is
    the broker's own, in seconds since 1970."""

    def __init__(
        self,
        streams: Sequence[topology.Stream] = topology.STREAMS,
        consumers: Sequence[topology.Consumer] = topology.CONSUMERS,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.streams = {stream.name: MemoryStream(stream, clock) for stream in streams}
        self.consumers: dict[tuple[str, str], MemoryConsumer] = {}
        self.answers: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}
        self.death_listeners: dict[str, tuple[Callable[[str], Awaitable[None]], Callable[[str], Awaitable[None]]]] = {}
        self.told: list[tuple[str, bytes]] = []
        self.timers = MemoryTimers(self.streams.get(topology.TIMERS.name))
        for config in consumers:
            stream = self.streams[config.stream]
            consumer = MemoryConsumer(config, stream, self._bury_exhausted)
            self.consumers[config.stream, config.name] = consumer
            stream.stored.append(consumer.offer)

    def stream_for(self, subject: str) -> MemoryStream | None:
        """The stream that stores a subject."""
        for stream in self.streams.values():
            if any(matches(subject_filter, subject) for subject_filter in stream.config.subjects):
                return stream
        return None

    async def announce_death(self, name: str) -> None:
        """Tell every other connection that the one of this name is gone."""
        self.death_listeners.pop(name, None)
        await asyncio.gather(*(heard(name) for heard, _ in self.death_listeners.values()))

    async def doubt(self, name: str) -> None:
        """Tell every other connection that the one of this name is gone, and may come back."""
        told = [doubtful for other, (_, doubtful) in self.death_listeners.items() if other != name]
        await asyncio.gather(*(doubtful(name) for doubtful in told))

    def close(self) -> None:
        """Cancel every lease and timer. Call it at the end of a test."""
        self.timers.stop()
        for consumer in self.consumers.values():
            consumer.stop()

    def _bury_exhausted(self, consumer: MemoryConsumer, sequence: int) -> None:
        stored = consumer.stream.get(sequence)
        dead_letters = self.streams.get(topology.DEAD_LETTERS.name)
        if stored is None or dead_letters is None:
            return
        name = consumer.config.name
        dead_letters.append(
            subjects.dead_letter_subject(consumer.config.stream, name),
            stored.entry.data,
            message_id=dead_letter_id(consumer.config.stream, name, sequence),
            headers={
                **stored.headers,
                **dead_letter_headers(
                    reason=f"delivered {consumer.config.max_deliver} times without success",
                    stream=consumer.config.stream,
                    consumer=name,
                    subject=stored.entry.subject,
                    stream_sequence=sequence,
                    delivered=consumer.config.max_deliver,
                ),
            },
        )
        if consumer.stream.config.retention == "workqueue":
            consumer.stream.remove(lambda other: other.entry.stream_sequence == sequence)
