"""One suite, two buses: the twin in memory and a real nats-server, started afresh for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from bus.api import Bus, Claim
from bus.jetstream import JetStreamBus, connect
from bus.memory import Broker, MemoryBus
from contracts import ids, topology

from tests.servers import NatsServer

QUICK = topology.Stream(name="QUICK", subjects=("quick.>",), why="Work with short leases.", retention="workqueue")
QUICK_WORK = topology.Consumer(
    name="quick-work",
    stream="QUICK",
    filter="quick.*",
    why="Leases of a second, two deliveries.",
    ack_wait=1.0,
    max_deliver=2,
)
LETTERS = topology.Consumer(name="letters", stream="DEAD_LETTERS", filter="dead.>", why="What the tests read.")
SMALL = topology.Stream(name="SMALL", subjects=("small.>",), why="Soon full.", max_bytes=2000)
STREAMS = (*topology.STREAMS, QUICK, SMALL)
CONSUMERS = (*topology.CONSUMERS, QUICK_WORK, LETTERS)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.stop()


class World(Protocol):
    """Where a test runs: it connects as many processes as it likes."""

    async def connect(self, instance: str) -> Bus:
        """One more process."""

    async def close(self) -> None:
        """Every process leaves."""


class MemoryWorld:
    def __init__(self) -> None:
        self.broker = Broker(STREAMS, CONSUMERS)
        self._buses: list[MemoryBus] = []

    async def connect(self, instance: str) -> Bus:
        bus = MemoryBus(instance, self.broker)
        self._buses.append(bus)
        return bus

    async def close(self) -> None:
        for bus in self._buses:
            await bus.drain()
        self.broker.close()


class RealWorld:
    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self._buses: list[JetStreamBus] = []
        self._mover: asyncio.Task[None] | None = None

    async def connect(self, instance: str) -> Bus:
        bus = await connect(self.server.url(), instance=instance)
        if not self._buses:
            await bus.reconcile(streams=STREAMS, consumers=CONSUMERS)
            self._mover = asyncio.create_task(bus.consume(topology.DEAD, bus.move_dead_letter, concurrency=1))
        self._buses.append(bus)
        return bus

    async def close(self) -> None:
        for bus in reversed(self._buses):
            await bus.drain()
        if self._mover is not None:
            self._mover.cancel()
            await asyncio.gather(self._mover, return_exceptions=True)


@pytest.fixture(params=["memory", "nats"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made: World = MemoryWorld() if request.param == "memory" else RealWorld(request.getfixturevalue("nats"))
    yield made
    await made.close()


@pytest.fixture
async def real_world(nats: NatsServer) -> AsyncIterator[RealWorld]:
    made = RealWorld(nats)
    yield made
    await made.close()


class Run:
    """Ids of a run, and its first claim."""

    def __init__(self, bus: Bus, *, thread_id: str | None = None) -> None:
        self.thread_id = thread_id or ids.new_id(ids.THREAD)
        self.run_id = ids.new_id(ids.RUN)
        self.log = bus.run_log

    async def claim(self, worker: str = "worker-1") -> Claim:
        after = await self.log.holder(self.thread_id, self.run_id)
        return await self.log.claim(self.thread_id, self.run_id, worker=worker, delivery="", after=after)
