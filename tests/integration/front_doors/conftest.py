"""A small mesh per test, and the official clients once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from bus.memory import Broker, MemoryBus
from gateway.entrypoints.connections import CUT_SECONDS

from tests.databases import Databases
from tests.integration.conversation.replica import Service, start_replica
from tests.integration.front_doors.mesh import Gateway, Script, Worker, plain, start_gateway
from tests.servers import MongoServer

ANSWER = "Grüße aus Rom: die Stadt der sieben Hügel. 😀 " * 3


@dataclass
class SmallMesh:
    """What a test talks to."""

    service: Service
    broker: Broker
    worker: Worker
    gateways: list[Gateway] = field(default_factory=list)

    @property
    def bases(self) -> list[str]:
        return [gateway.base for gateway in self.gateways]

    async def gateway(self, *, heartbeat: float = 10.0, cut: float = CUT_SECONDS) -> Gateway:
        """One more gateway."""
        name = f"gateway-{len(self.gateways) + 1}"
        self.gateways.append(await start_gateway(self.service, self.broker, name, heartbeat=heartbeat, cut=cut))
        return self.gateways[-1]

    async def stored(self, run_id: str) -> dict[str, object]:
        """The stored answer of a run, once it is there."""
        async with asyncio.timeout(10):
            while True:
                rows = await self.service.rows("messages")
                found = next((row for row in rows if row["run_id"] == run_id and row["role"] == "assistant"), None)
                if found is not None and found["status"] not in ("pending", "generating"):
                    return found
                await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    server = MongoServer(tmp_path_factory.mktemp("mongo"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(mongo: MongoServer) -> Iterator[Databases]:
    with Databases(mongo) as made:
        yield made


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """The address of an empty database."""
    name = databases.take()
    yield databases.uri(name)
    databases.give_back(name)


@pytest.fixture
def script() -> Script:
    """What the worker says; a test replaces it on `mesh.worker`."""
    return lambda _: plain(ANSWER)


@pytest.fixture
async def mesh(database: str, script: Script) -> AsyncIterator[SmallMesh]:
    broker = Broker()
    service = await start_replica(database, MemoryBus("conversation-1", broker))
    service.record()
    worker = Worker(MemoryBus("inference-1", broker), script)
    working = asyncio.create_task(worker.run())
    made = SmallMesh(service, broker, worker)
    await made.gateway()
    yield made
    for gateway in made.gateways:
        await gateway.close()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await service.close()


Starts = Callable[[], Awaitable[Gateway]]
