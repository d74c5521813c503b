"""The mesh out of images: deploy/compose.yaml with local images, looked at and killed like the one that `everthread up` runs.

`EVERTHREAD_TEST_MESH=containers` has the end-to-end tests use it (`task images:test`). Three NATS servers; the one named
`nats` to the tests is the first.
"""

import functools
import http.server
import ipaddress
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everthread.keys import AUDIENCE, ISSUER, ensure_key, mint
from everthread.ports import free_port

from tests.mesh import ROOT, Mesh

FILES = ("deploy/compose.yaml", "deploy/compose/local.yaml", "deploy/compose/test.yaml")
PROJECT = "everthread-test"
COMPOSE = ["docker", "compose", "-p", PROJECT, *(word for file in FILES for word in ("-f", file))]
SERVICES = ("gateway", "gateway-2", "conversation", "inference", "inference-2", "notifier")
NAMES = {
    "gateway": "gateway-1",
    "conversation": "conversation-1",
    "inference": "inference-1",
    "notifier": "notifier-1",
    "nats-1": "nats",
}
"""What the tests call a part, where that is not its name in compose."""
SERVERS = ("nats-1", "nats-2", "nats-3", "mongodb")
START_SECONDS = 120.0


@dataclass(kw_only=True)
class ContainerMesh(Mesh):
    """A running compose project. `process` follows its logs into `containers.log`; `environment` has compose's variables."""

    keys: "KeySet"

    def compose(self, *arguments: str) -> str:
        """Run docker compose on this project; its output."""
        done = subprocess.run(
            [*COMPOSE, *arguments], capture_output=True, text=True, check=False, env=self.environment, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ps(self) -> dict[str, dict[str, Any]]:
        ids = self.compose("ps", "--all", "--quiet").split()
        shown = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
        parts = {}
        for container in json.loads(shown):
            service = container["Config"]["Labels"]["com.docker.compose.service"]
            name = NAMES.get(service, service)
            pid = container["State"]["Pid"]
            state = "ready" if pid and self._ready(container["Id"], service) else "restarting"
            parts[name] = {"name": name, "pid": pid, "port": 0, "state": state, "container": container["Id"]}
        return parts

    def names(self) -> list[str]:
        # Without the engine: on a busy machine it takes seconds to tell who is ready.
        return [NAMES.get(service, service) for service in (*SERVICES, *SERVERS)]

    def pid(self, name: str) -> int:
        # Without asking who is ready: by the time all have answered, what was to be killed may be over.
        service = {shown: service for service, shown in NAMES.items()}.get(name, name)
        container = f"{PROJECT}-{service}-1"
        shown = subprocess.run(
            ["docker", "inspect", "--format", "{{.State.Pid}}", container], capture_output=True, text=True, check=True
        )
        return int(shown.stdout)

    def send(self, pid: int, number: int) -> None:
        # By the kernel, not by the engine, which would take the death for wanted and not start the container again. Containers
        # run as another user, so who is not root needs sudo (GitHub's machines have it, without a password).
        try:
            super().send(pid, number)
        except PermissionError:
            subprocess.run(["sudo", "-n", "kill", f"-{int(number)}", str(pid)], check=True)

    def _ready(self, container: str, service: str) -> bool:
        if service == "mongodb" or service.startswith("nats"):
            return True
        look = "import urllib.request as u; u.urlopen('http://127.0.0.1:9090/readyz', timeout=4)"
        done = subprocess.run(["docker", "exec", container, "python", "-c", look], capture_output=True, check=False)
        return done.returncode == 0

    def token(self, user: str = "demo", role: str = "user") -> str:
        return mint(self.keys.private, user=user, role=role, lifetime=3600)

    def log(self, name: str) -> str:
        service = {shown: service for service, shown in NAMES.items()}.get(name, name)
        return self.compose("logs", "--no-log-prefix", service)

    def stop(self) -> int:
        self.compose("down", "--volumes", "--timeout", "20")
        self.process.wait(30)
        self.keys.stop()
        return 0


class KeySet:
    """An identity provider's key set, served where containers reach it."""

    def __init__(self, folder: Path, host: str) -> None:
        self.private = folder / "key.json"
        ensure_key(self.private)
        public = {name: value for name, value in json.loads(self.private.read_text("utf-8")).items() if name != "d"}
        (folder / "jwks").mkdir()
        (folder / "jwks" / "keys.json").write_text(json.dumps({"keys": [public]}), "utf-8")
        handler = functools.partial(_Quiet, directory=str(folder / "jwks"))
        self._server = http.server.ThreadingHTTPServer((host, 0), handler)
        self.url = f"http://{host}:{self._server.server_port}/keys.json"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:
        """Nothing: whoever fetches the keys logs it."""


def host_address() -> str:
    """This machine as containers see it: the address of Docker's own bridge."""
    shown = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    config = json.loads(shown.stdout)
    # An engine that chose the address by itself may not name it; it is the subnet's first.
    return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))


def serves_page(port: int) -> bool:
    """A browser gets the built page. Asked here, not in a test: the mesh of `everthread up` may be without one."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return b'src="/assets/' in response.read()


def start_containers(home: Path, *, models: Path, upstream: str) -> ContainerMesh:
    """`docker compose up` until every part is ready; raises AssertionError with the logs when it does not become so."""
    subprocess.run([sys.executable, "deploy/compose/prepare.py"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    port = free_port(2)
    keys = KeySet(home, host_address())
    models.chmod(0o644)
    environment = {
        **os.environ,
        "GATEWAY_PORT": str(port),
        "GATEWAY_2_PORT": str(port + 1),
        "TEST_MODELS": str(models),
        "EVERTHREAD_JWKS_URL": keys.url,
        "EVERTHREAD_JWT_ISSUER": ISSUER,
        "EVERTHREAD_JWT_AUDIENCE": AUDIENCE,
        "OPENAI_BASE_URL": upstream,
        "OPENAI_API_KEY": "sk-canary-0123456789",
    }
    up = [*COMPOSE, "up", "--detach", "--no-build", "--pull", "never", *SERVICES]
    begun = subprocess.run(up, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert begun.returncode == 0, begun.stderr
    with (home / "containers.log").open("w") as sink:
        follower = subprocess.Popen(
            [*COMPOSE, "logs", "--follow"], stdout=sink, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
        )
    mesh = ContainerMesh(home, environment, port, 2, follower, keys=keys)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if all(part["state"] == "ready" for part in mesh.ps().values()):
            if not serves_page(port):
                mesh.stop()
                raise AssertionError("the gateway's image has no page")
            return mesh
        time.sleep(0.5)
    logs = mesh.compose("logs", "--tail", "20")
    mesh.stop()
    raise AssertionError(f"the containers did not get ready within {START_SECONDS:g} s:\n{logs}")
