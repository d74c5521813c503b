"""A real nats-server with the services' own permissions, and connections to it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import nats
import pytest
from inference.tools.ports import ToolContext
from nats.aio.client import Client

from tests.servers import PASSWORDS, NatsServer


@pytest.fixture
def nats_port(tmp_path: Path) -> Iterator[int]:
    """The port of a server of this test's own."""
    server = NatsServer(tmp_path)
    server.start()
    yield server.port
    server.stop()


@pytest.fixture
async def worker(nats_port: int) -> AsyncIterator[Client]:
    """A connection with inference's permissions and inbox."""
    async with AsyncExitStack() as stack:
        yield await _connect(stack, nats_port, "inference", inbox_prefix=b"_INBOX_inference")


@pytest.fixture
async def provider(nats_port: int) -> AsyncIterator[Client]:
    """A connection for a service that offers tools."""
    async with AsyncExitStack() as stack:
        yield await _connect(stack, nats_port, "admin")


async def _connect(stack: AsyncExitStack, port: int, user: str, **options: Any) -> Client:
    url = f"nats://{user}:{PASSWORDS[user]}@127.0.0.1:{port}"
    client = await nats.connect(url, max_reconnect_attempts=50, reconnect_time_wait=0.1, **options)
    stack.push_async_callback(client.close)
    return client


@pytest.fixture
def progress() -> list[Any]:
    """What the tool said on its way."""
    return []


@pytest.fixture
def context(progress: list[Any]) -> ToolContext:
    """A call's context."""
    return ToolContext(
        run_id="run_1",
        thread_id="thr_1",
        step=7,
        idempotency_key="run_1:7",
        user_id="usr_1",
        progress=progress.append,
    )
