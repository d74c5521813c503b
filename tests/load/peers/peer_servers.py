"""The peers as processes: found or installed, started on loopback in a folder of their own, stopped by their ids.

Nothing is installed into this project: packages go into a cache folder, in the versions that stand in this folder.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from everthread.ports import free_port

from tests.load.processes import cpu_seconds

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "everthread-peers"
LITELLM = "litellm[proxy]==1.106.2"
"""Pinned: a later release was reported as tampered with, in what others publish about it."""
STARTS_WITHIN = 180.0


class PeerMissingError(RuntimeError):
    """A peer cannot be run here; the sentence says what to install."""


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and of those it started that still run."""
    seconds = cpu_seconds(pid)
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            # It may end between the two readings.
            with contextlib.suppress(FileNotFoundError):
                seconds += tree_cpu(int(child))
    return seconds


@dataclass
class Server:
    """One process of a peer: what it is called, and where it says what goes wrong."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for what does not go."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def server(name: str, url: str, command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """A process with its own environment and its output in `folder`, until the block ends."""
    log = folder / f"{name}.log"
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    with log.open("ab") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder, env=kept | environment)
    started = Server(name, url, process, log)
    try:
        yield started
    finally:
        started.stop()


def wait_for(started: Server, ready: str) -> None:
    """Until its output has `ready`, or the URL it is answers 200. Raises AssertionError with its output when it ends."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and started.process.poll() is None:
        if ready.startswith("http"):
            with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=2) as response:
                if response.status == 200:
                    return
        elif ready in started.log.read_text("utf-8", errors="replace"):
            return
        time.sleep(0.1)
    raise AssertionError(f"{started.name} did not start:\n{started.log.read_text('utf-8', errors='replace')[-3000:]}")


def _installed(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text("utf-8") == wanted


def _install(command: list[str], folder: Path, what: str) -> None:
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or error
        raise PeerMissingError(f"{what} could not be installed into {folder}: {detail}") from error


class ResumableStream:
    """Redis and as many Node processes as asked for, which pass a provider's stream through `resumable-stream`."""

    def __init__(self, folder: Path, upstream_url: str) -> None:
        self._folder, self._upstream_url = folder, upstream_url
        self._running = contextlib.ExitStack()
        self._program = self._redis_url = ""
        self.redis: Server | None = None
        self.nodes: list[Server] = []

    @staticmethod
    def versions() -> str:
        """What is run. Raises PeerMissingError when something is not on this machine."""
        for program in ("node", "npm", "redis-server"):
            if shutil.which(program) is None:
                raise PeerMissingError(
                    f"{program} is not on this machine: install Node 20 or newer with npm, and redis-server "
                    "(Debian: apt-get install nodejs npm redis-server)."
                )
        packages = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
        number = next(word.removeprefix("v=") for word in redis.split() if word.startswith("v="))
        names = ", ".join(f"{name} {version}" for name, version in packages.items())
        return f"{names} (npm), Node {node.removeprefix('v')}, redis-server {number}"

    def start(self) -> None:
        """Install what package-lock.json says, start Redis without a disk, and two servers. Raises PeerMissingError."""
        self.versions()
        program = CACHE / "resumable-stream"
        program.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", "server.mjs"):
            shutil.copy(HERE / name, program / name)
        wanted, stamp = (HERE / "package-lock.json").read_text("utf-8"), program / "node_modules" / ".installed"
        if not _installed(stamp, wanted):
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            _install(command, program, "resumable-stream")
            stamp.write_text(wanted, "utf-8")
        self._program = str(program / "server.mjs")
        port = free_port()
        # Nothing it holds outlives a stream, so a disk would only slow it.
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        self._redis_url = f"redis://127.0.0.1:{port}"
        self.redis = self._running.enter_context(server("redis", self._redis_url, command, self._folder, {}))
        wait_for(self.redis, "Ready to accept connections")
        for _ in range(2):
            self.nodes.append(self.another())

    def another(self) -> Server:
        """One more server on the same Redis."""
        port = free_port()
        environment = {"PORT": str(port), "REDIS_URL": self._redis_url, "UPSTREAM_URL": self._upstream_url}
        name, url = f"node-{port}", f"http://127.0.0.1:{port}"
        started = self._running.enter_context(server(name, url, ["node", self._program], self._folder, environment))
        wait_for(started, "ready")
        return started

    def cpu(self) -> float:
        """CPU seconds of Redis and of the servers that run."""
        assert self.redis is not None
        running = [self.redis, *self.nodes]
        return sum(cpu_seconds(part.process.pid) for part in running if part.process.poll() is None)

    def stop(self) -> None:
        """End everything."""
        self._running.close()


class LiteLLM:
    """The proxy as its guide for production has it: one worker a process, a process a core; no database and no callbacks.

    `key`: what its callers name as their token, made for this run.
    """

    def __init__(self, folder: Path, upstream_url: str) -> None:
        self._folder, self._upstream_url = folder, upstream_url
        self._running = contextlib.ExitStack()
        self.key = f"sk-{secrets.token_hex(16)}"
        self.proxies: list[Server] = []

    @staticmethod
    def versions() -> str:
        """What is run."""
        return f"{LITELLM} (PyPI), {os.cpu_count()} processes"

    def start(self) -> None:
        """Install it into an environment of its own and start it. Raises PeerMissingError."""
        uv = shutil.which("uv")
        if uv is None:
            raise PeerMissingError("uv is not on the path, which installs LiteLLM into an environment of its own.")
        place = CACHE / "litellm"
        stamp = place / ".installed"
        if not _installed(stamp, LITELLM):
            CACHE.mkdir(parents=True, exist_ok=True)
            _install([uv, "venv", "--quiet", "--clear", "--python", "3.11", str(place)], CACHE, LITELLM)
            python = str(place / "bin" / "python")
            _install([uv, "pip", "install", "--quiet", "--python", python, LITELLM], CACHE, LITELLM)
            stamp.write_text(LITELLM, "utf-8")
        model = {"model": "openai/scripted", "api_base": self._upstream_url, "api_key": "bench"}
        settings = {
            "model_list": [{"model_name": "scripted", "litellm_params": model}],
            "litellm_settings": {"set_verbose": False, "request_timeout": 600},
        }
        # JSON is YAML.
        (self._folder / "litellm.yaml").write_text(json.dumps(settings), "utf-8")
        environment = {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": self.key,
        }
        for _ in range(os.cpu_count() or 1):
            port = free_port()
            command = [str(place / "bin" / "litellm"), "--config", "litellm.yaml", "--host", "127.0.0.1"]
            command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
            name, url = f"litellm-{port}", f"http://127.0.0.1:{port}"
            self.proxies.append(self._running.enter_context(server(name, url, command, self._folder, environment)))
        for proxy in self.proxies:
            wait_for(proxy, f"{proxy.url}/health/liveliness")

    def cpu(self) -> float:
        """CPU seconds of all its processes."""
        return sum(tree_cpu(proxy.process.pid) for proxy in self.proxies)

    def stop(self) -> None:
        """End it."""
        self._running.close()
