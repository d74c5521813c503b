"""`task observe`: the mesh with a trace viewer (arize-phoenix) and, where it is installed, Prometheus with the rules.

Everything listens on loopback and stops with Ctrl-C. What is given after `--` goes to `everthread up`. Phoenix comes from PyPI
into an environment of its own (about 250 MB the first time); nothing of it is a dependency of Everthread.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOOPBACK = "127.0.0.1"
START_SECONDS = 180.0
VIEWER = "arize-phoenix"


class Refused(Exception):
    """Something cannot be started; the text says what, and what to do."""


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # What was stopped a moment ago holds it in name only, and links to it shall go on to work.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            taken: int = probe.getsockname()[1]
            return taken
    raise Refused("no port is free on loopback")


def answers(url: str) -> bool:
    """Something is served there."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - an address of this file
            return True
    except OSError:
        return False


class Parts:
    """The processes that were started, and their end."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(
        self, name: str, command: list[str], *, environment: dict[str, str] | None = None, shown: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start one, its output in a log file of the home unless it is `shown`."""
        full = {**os.environ, **(environment or {})}
        log = self._home / f"{name}.log"
        with log.open("wb") as sink:
            # A group of its own: Ctrl-C reaches this process, which then stops the parts in order.
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=full,
                stdout=None if shown else sink,
                stderr=subprocess.STDOUT if not shown else None,
                start_new_session=True,
            )
        self._running.append((name, process))
        return process

    def wait_for(self, name: str, process: "subprocess.Popen[bytes]", url: str) -> None:
        """Until it answers; raises Refused when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Refused(f"{name} did not start; see {self._home / name}.log")
            time.sleep(0.3)

    def stop(self) -> None:
        """End all, the last one first."""
        for _, process in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def parts_of(home: Path) -> list[dict[str, Any]]:
    """The mesh's parts as its supervisor last wrote them; none before it has."""
    try:
        parts: list[dict[str, Any]] = json.loads((home / "state.json").read_text("utf-8"))["parts"]
    except (OSError, ValueError):
        return []
    return parts


def targets_of(home: Path) -> list[dict[str, Any]]:
    """What Prometheus shall scrape: the health port of each service's process."""
    return [
        {
            "targets": [f"{LOOPBACK}:{part['health_port']}"],
            "labels": {"service": part["name"].rpartition("-")[0], "instance": part["name"]},
        }
        for part in parts_of(home)
        if "-" in part["name"]
    ]


def write_targets(file: Path, home: Path) -> None:
    """Replace the file in one step, as Prometheus reads it at any moment."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(targets_of(home)), "utf-8")
    new.replace(file)


def start_prometheus(parts: Parts, folder: Path, home: Path) -> str:
    """Start it with the repository's configuration; its address, empty where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        return ""
    (folder / "targets").mkdir(exist_ok=True)
    write_targets(folder / "targets" / "mesh.json", home)
    shutil.copy(ROOT / "deploy/prometheus/prometheus.yml", folder)
    shutil.copytree(ROOT / "deploy/prometheus/rules", folder / "rules", dirs_exist_ok=True)
    port = free_port(9090)
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={LOOPBACK}:{port}", "--enable-feature=exemplar-storage"]
    process = parts.start("prometheus", command)
    address = f"http://{LOOPBACK}:{port}"
    parts.wait_for("prometheus", process, f"{address}/-/ready")
    return address


def start_viewer(parts: Parts, folder: Path) -> str:
    """Start Phoenix in an environment of its own; its address."""
    port = free_port(6006)
    environment = {
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port(4317)),
        "PHOENIX_WORKING_DIR": str(folder / "phoenix"),
    }
    (folder / "phoenix").mkdir(exist_ok=True)
    command = ["uv", "run", "--no-project", "--isolated", "--with", VIEWER, "python"]
    process = parts.start("phoenix", [*command, str(HERE / "phoenix_on_loopback.py")], environment=environment)
    address = f"http://{LOOPBACK}:{port}"
    print(f"trace viewer: starting {VIEWER} (the first time it is downloaded)", flush=True)
    parts.wait_for("phoenix", process, f"{address}/healthz")
    return address


def attributes(given: str) -> str:
    """What each span says besides of where it comes from; the viewer sorts traces into projects by it."""
    return ",".join(filter(None, [given, "openinference.project.name=everthread"]))


def until_ready(mesh: "subprocess.Popen[bytes]", home: Path) -> None:
    """Until every part of the mesh is ready; raises Refused when it ends (it has said why)."""
    while True:
        if mesh.poll() is not None:
            raise Refused("the mesh did not start; its own words are above")
        states = [part["state"] for part in parts_of(home)]
        if states and all(state == "ready" for state in states):
            return
        time.sleep(0.5)


def main() -> int:
    """Run until Ctrl-C or SIGTERM; the exit code."""
    home = Path(os.environ.get("EVERTHREAD_HOME", ROOT / ".everthread")).absolute()
    folder = home / "observe"
    folder.mkdir(parents=True, exist_ok=True)
    parts = Parts(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        viewer = start_viewer(parts, folder)
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": viewer,
            "EVERTHREAD_HOME": str(home),
            "OTEL_RESOURCE_ATTRIBUTES": attributes(os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")),
            "EVERTHREAD_TRACE_VIEWER_URL": f"{viewer}/redirects/traces/{{trace_id}}",
        }
        mesh = parts.start("mesh", ["everthread", "up", *sys.argv[1:]], environment=environment, shown=True)
        until_ready(mesh, home)
        prometheus = start_prometheus(parts, folder, home)
        print(f"\ntraces       {viewer} (a message is one trace; a takeover is one of its own that links back)")
        if prometheus:
            print(
                f"metrics      {prometheus} (alerts: {prometheus}/alerts; dashboards to import: deploy/grafana/*.json)"
            )
        else:
            print("metrics      Prometheus is not installed (Debian: apt-get install prometheus); /metrics is on each")
            print("             process's health port: everthread ps --json")
        print("one answer   everthread trace <run>; runbooks: docs/runbooks/")
        print("observing; Ctrl-C stops everything", flush=True)
        while mesh.poll() is None:
            time.sleep(5)
            if prometheus:
                write_targets(folder / "targets" / "mesh.json", home)
        return mesh.returncode
    except Refused as refused:
        print(f"observe: {refused}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        parts.stop()


if __name__ == "__main__":
    sys.exit(main())
