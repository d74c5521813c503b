"""A real MongoDB server for the session, one of its own for tests that kill it, and replicas of conversation over them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from bus.memory import Broker, MemoryBus
from conversation.domain.limits import Limits

from tests.databases import Databases
from tests.integration.conversation.replica import Service, start_replica
from tests.servers import MongoServer

StartService = Callable[..., Awaitable[Service]]


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
def own_mongo(tmp_path: Path) -> Iterator[MongoServer]:
    """A server that the test may kill."""
    server = MongoServer(tmp_path / "mongo", test_commands=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def start(broker: Broker, request: pytest.FixtureRequest) -> AsyncIterator[StartService]:
    """Starts replicas that share one empty database and one broker."""
    running: list[Service] = []
    taken: list[str] = []

    async def started(
        server: MongoServer | None = None,
        *,
        relaying: bool = True,
        limits: Limits | None = None,
        application: str = "test",
    ) -> Service:
        if server is None:
            databases: Databases = request.getfixturevalue("databases")
            taken[:] = taken or [databases.take()]
            uri = databases.uri(*taken)
        else:
            uri = server.uri.replace("/?", "/test?")
        bus = MemoryBus(f"conversation-{len(running) + 1}", broker)
        service = await start_replica(uri, bus, relaying=relaying, limits=limits, application=application)
        running.append(service)
        return service

    yield started
    for service in running:
        await service.close()
    for name in taken:
        request.getfixturevalue("databases").give_back(name)


@pytest.fixture
async def service(start: StartService) -> Service:
    """One replica."""
    return await start()
