"""A real nats-server with the services' users, and notifier processes against it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from bus.jetstream import JetStreamBus, connect
from everthread.ports import free_port

from tests.integration.notifier.world import Server
from tests.plain_http import plain_client
from tests.servers import NatsServer


class Notifier:
    """`python -m notifier` as its own user, restarted at will."""

    def __init__(self, broker: NatsServer, instance: str, logs: Path) -> None:
        self._broker = broker
        self.environment: dict[str, str] = {}
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
                    **self.environment,
                },
                stdout=log,
                stderr=log,
            )
        async with plain_client() as http, asyncio.timeout(30):
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
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(broker: NatsServer) -> AsyncIterator[JetStreamBus]:
    """The admin's connection; the topology is there."""
    connected = await connect(broker.url("admin"), instance="test")
    await connected.reconcile()
    yield connected
    await connected.drain()


@pytest.fixture
def notifiers(broker: NatsServer, tmp_path: Path) -> Iterator[list[Notifier]]:
    """Two, not started."""
    made = [Notifier(broker, f"notifier-{number}", tmp_path) for number in (1, 2)]
    yield made
    for notifier in made:
        notifier.end()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A receiver of webhooks and pushes."""
    made = Server()
    await made.start()
    yield made
    await made.stop()
