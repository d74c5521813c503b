"""One durable consumer in memory: delivery counts, leases, redelivery, the limit of deliveries."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.topology import Consumer

from bus.api import Delivery
from bus.filters import matches
from bus.memory.stream import MemoryStream, Stored


@dataclass(slots=True)
class MemoryConsumer:
    """`exhausted` is called with the stream sequence of an item that was delivered `max_deliver` times in vain."""

    config: Consumer
    stream: MemoryStream
    exhausted: Callable[["MemoryConsumer", int], None]
    ready: deque[int] = field(default_factory=deque)
    deliveries: dict[int, int] = field(default_factory=dict)
    leases: dict[int, asyncio.TimerHandle] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    consumer_sequence: int = 0

    def offer(self, stored: Stored) -> None:
        """A new entry is stored."""
        if matches(self.config.filter, stored.entry.subject):
            self._make_ready(stored.entry.stream_sequence)

    async def next(self) -> Delivery:
        """Wait for the next delivery and start its lease."""
        while True:
            while self.ready:
                delivery = self._deliver(self.ready.popleft())
                if delivery is not None:
                    return delivery
            self.arrived.clear()
            await self.arrived.wait()

    def ack(self, sequence: int) -> None:
        """Settled for good. A work queue forgets the entry."""
        self._stop_lease(sequence)
        self.deliveries.pop(sequence, None)
        if self.stream.config.retention == "workqueue":
            self.stream.remove(lambda stored: stored.entry.stream_sequence == sequence)

    def nak(self, sequence: int, delay: float) -> None:
        """Redeliver after `delay` seconds; nothing happens where it is settled."""
        if sequence in self.leases:
            self._start_lease(sequence, delay)

    def beat(self, sequence: int) -> None:
        """The lease starts again."""
        if sequence in self.leases:
            self._start_lease(sequence, self._lease(sequence))

    def stop(self) -> None:
        """Forget all leases, so that no timer outlives the loop."""
        for lease in self.leases.values():
            lease.cancel()
        self.leases.clear()

    def _deliver(self, sequence: int) -> Delivery | None:
        stored = self.stream.get(sequence)
        if stored is None:
            self.deliveries.pop(sequence, None)
            return None
        count = self.deliveries.get(sequence, 0)
        if count >= self.config.max_deliver:
            self.deliveries.pop(sequence, None)
            self.exhausted(self, sequence)
            return None
        self.deliveries[sequence] = count + 1
        self.consumer_sequence += 1
        self._start_lease(sequence, self._lease(sequence))
        stream, consumer = self.config.stream, self.config.name
        reply = f"$JS.ACK.{stream}.{consumer}.{count + 1}.{sequence}.{self.consumer_sequence}.0.{len(self.ready)}"
        return Delivery(
            subject=stored.entry.subject,
            data=stored.entry.data,
            stream_sequence=sequence,
            delivered=count + 1,
            reply=reply,
            headers=stored.headers,
            stored_at=stored.entry.stored_at,
        )

    def _lease(self, sequence: int) -> float:
        if not self.config.backoff:
            return self.config.ack_wait
        count = self.deliveries.get(sequence, 1)
        return self.config.backoff[min(count, len(self.config.backoff)) - 1]

    def _start_lease(self, sequence: int, seconds: float) -> None:
        self._stop_lease(sequence)
        self.leases[sequence] = asyncio.get_running_loop().call_later(seconds, self._lapse, sequence)

    def _stop_lease(self, sequence: int) -> None:
        lease = self.leases.pop(sequence, None)
        if lease is not None:
            lease.cancel()

    def _lapse(self, sequence: int) -> None:
        self.leases.pop(sequence, None)
        self._make_ready(sequence)

    def _make_ready(self, sequence: int) -> None:
        self.ready.append(sequence)
        self.arrived.set()
