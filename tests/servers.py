"""The servers that tests need: containers where a Docker engine answers and has the image, else the embedded ones.

Both are real servers, killed by SIGKILL and started again on the same port with their data. A server that can be had in
neither way fails the test. `EVERTHREAD_TEST_SERVERS=containers` or `=embedded` decides instead of looking.
"""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import docker
import docker.errors
from bus.permissions import USERS
from bus.server_config import render
from everthread.child import Child
from everthread.embedded import mongo_program, mongo_ready, mongo_uri, nats_program, nats_ready
from everthread.ports import free_port
from testcontainers.core.container import DockerContainer

NATS_IMAGE = os.environ.get("EVERTHREAD_TEST_NATS_IMAGE", "nats:2.12-alpine")
MONGO_IMAGE = os.environ.get("EVERTHREAD_TEST_MONGO_IMAGE", "mongo:8")
PASSWORDS = {user: f"{user}-password" for user in USERS}
START_SECONDS = 60.0


class Server(Protocol):
    """One server on a port of its own."""

    port: int

    def start(self) -> None:
        """Start it, or start it again with its data; returns when it answers."""

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""

    def stop(self) -> None:
        """End it for good."""


@functools.cache
def kind(image: str) -> Literal["containers", "embedded"]:
    """Where servers come from, for an image: decided once."""
    wanted = os.environ.get("EVERTHREAD_TEST_SERVERS", "")
    if wanted in ("containers", "embedded"):
        return cast(Literal["containers", "embedded"], wanted)
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        # The client would leave an unclosed socket behind, which is an error in these tests.
        return "embedded"
    try:
        client = docker.from_env(timeout=5)
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            client.images.pull(image)
        client.close()
    except (docker.errors.DockerException, OSError):
        return "embedded"
    return "containers"


class _Child:
    """An embedded server as a child process."""

    def __init__(self, port: int, run: Callable[[], Child], ready: Callable[[int], bool]) -> None:
        self.port = port
        self._run, self._ready = run, ready
        self._child: Child | None = None

    def start(self) -> None:
        self._child = self._run()
        _wait(lambda: self._ready(self.port), f"the server on port {self.port} did not start")

    def kill(self) -> None:
        if self._child is not None:
            self._child.stop(0)

    def stop(self) -> None:
        self.kill()


class _Container:
    """The same server from an image."""

    def __init__(self, port: int, container: DockerContainer, ready: Callable[[int], bool]) -> None:
        self.port = port
        self._container, self._ready = container, ready
        self._made = False

    def start(self) -> None:
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._made = True
        _wait(lambda: self._ready(self.port), f"the container on port {self.port} did not start")

    def kill(self) -> None:
        wrapped = self._container.get_wrapped_container()
        wrapped.kill()
        wrapped.wait()

    def stop(self) -> None:
        if self._made:
            self._container.stop()


class NatsServer:
    """A NATS server with Everthread's accounts and users."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        port, monitor = free_port(), free_port()
        self._server: Server
        if kind(NATS_IMAGE) == "embedded":
            config = render(port=port, monitor_port=monitor, store_dir=home / "nats", passwords=PASSWORDS)
            self._server = _Child(port, lambda: Child(nats_program(home, port, config)), nats_ready)
        else:
            config = render(port=4222, monitor_port=8222, store_dir=Path("/data"), passwords=PASSWORDS, host="0.0.0.0")
            file = home / "nats.conf"
            file.write_text(config, "utf-8")
            container = (
                DockerContainer(NATS_IMAGE)
                .with_command("-c /etc/everthread.conf")
                .with_bind_ports(4222, port)
                .with_volume_mapping(str(file), "/etc/everthread.conf", "ro")
            )
            self._server = _Container(port, container, nats_ready)
        self.port = port

    def url(self, user: str = "admin") -> str:
        return f"nats://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        self._server.stop()


class MongoServer:
    """A MongoDB server as a replica set of one node. `test_commands` arms failpoints."""

    def __init__(self, home: Path, *, test_commands: bool = False) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._server: Server
        if kind(MONGO_IMAGE) == "embedded":
            self._server = _Child(
                self.port,
                lambda: Child(mongo_program(home, self.port, test_commands=test_commands)),
                mongo_ready,
            )
        else:
            command = "--replSet rs0 --bind_ip_all" + (" --setParameter enableTestCommands=1" if test_commands else "")
            container = DockerContainer(MONGO_IMAGE).with_command(command).with_bind_ports(27017, self.port)
            self._server = _Container(self.port, container, _initiated)

    @property
    def uri(self) -> str:
        return mongo_uri(self.port)

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        self._server.stop()


def _initiated(port: int) -> bool:
    """Make the fresh server a replica set of itself, and whether it is one."""
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    client: MongoClient[dict[str, Any]] = MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500
    )
    try:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": "127.0.0.1:27017"}]})
    except OperationFailure:
        pass  # It is one already.
    except PyMongoError:
        return False
    finally:
        client.close()
    return mongo_ready(port)


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"{otherwise} within {START_SECONDS:g} s")
        time.sleep(0.05)
