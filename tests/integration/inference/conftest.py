"""One nats-server, one upstream and two workers for all tests here; each test finds both workers ready."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from bus.jetstream import JetStreamBus, connect

from tests.integration.inference.worker_processes import Conversation, Pair, Run, command_for, new_pair
from tests.servers import NatsServer
from tests.upstream import UpstreamProcess

NewRun = Callable[..., Awaitable[Run]]


@pytest.fixture(scope="session")
def session_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("workers")
    nats = NatsServer(home / "nats")
    nats.start()
    try:
        with UpstreamProcess() as upstream:
            pair = new_pair(home, nats, upstream)
            yield pair
            for worker in pair.workers:
                worker.stop()
    finally:
        nats.stop()


@pytest.fixture
async def bus(session_pair: Pair) -> AsyncIterator[JetStreamBus]:
    made = await connect(session_pair.nats.url(), instance="test")
    await made.reconcile()
    yield made
    await made.drain()


@pytest.fixture
def pair(session_pair: Pair, bus: JetStreamBus) -> Pair:
    session_pair.wait_ready()
    return session_pair


@pytest.fixture
async def conversation(session_pair: Pair) -> AsyncIterator[Conversation]:
    service = Conversation(session_pair.conversation_port)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def new_run(bus: JetStreamBus, pair: Pair, conversation: Conversation) -> NewRun:
    """Makes a run whose question is a script of the upstream, and publishes its command."""

    async def made(content: str, *, model: str = "openai:prefix", copies: int = 1) -> Run:
        run = Run(bus, pair, command_for(model))
        conversation.contents[run.command.run_id] = content
        for copy in range(copies):
            await run.publish(copy)
        return run

    return made
