"""`everthread up` with all its real processes: restarts, order of stopping, kept data, and what it refuses."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from everthread.home import Home
from everthread.keys import development_token
from everthread.ports import free_port
from everthread.probes import alive
from everthread.ps import current
from everthread.state import public

COMMAND = str(Path(sys.executable).with_name("everthread"))
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("EVERTHREAD_", "OPENAI_", "NATS_", "MONGODB_", "OTEL_"))
}


def command(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=CLEAN | variables,
    )


def until(condition: Callable[[], bool], within: float = 40.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


class Up:
    """A running `everthread up --no-model` of one process per service."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home, self.port = home, free_port(4)
        home.mkdir(parents=True, exist_ok=True)
        self.output = home / "up.out"
        with self.output.open("w") as sink:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--no-model", "--port", str(self.port), "--home", str(home), *arguments],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=CLEAN,
            )
        until(lambda: self.is_ready or self.process.poll() is not None, 60)
        if not self.is_ready:
            logs = "".join(f"\n== {log.name}\n{log.read_text()[-1500:]}" for log in (home / "logs").glob("*.log"))
            raise AssertionError(f"not ready:\n{self.output.read_text()}{logs}")

    @property
    def is_ready(self) -> bool:
        return f"ready http://127.0.0.1:{self.port}" in self.output.read_text().splitlines()

    def ps(self) -> dict[str, dict[str, Any]]:
        """What `everthread ps --json` prints, looked at in this process: it is asked every tenth of a second."""
        found = current(Home(self.home))
        assert found is not None, f"no mesh runs in {self.home}"
        return {str(part["name"]): part for part in public(found.parts)}

    def pids(self) -> list[int]:
        return [part["pid"] for part in self.ps().values()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        token = development_token(Home(self.home), user="demo", role="user", ttl="1h")
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One mesh for these tests; the last of them kills it."""
    mesh = Up(tmp_path_factory.mktemp("one") / "home", "--scale", "gateway=2")
    try:
        yield mesh
    finally:
        if mesh.process.poll() is None:
            mesh.stop()


def test_a_running_mesh_answers_its_commands_and_refuses_a_second_up(up: Up) -> None:
    second = command(up.home, "up", "--no-model", "--port", str(free_port()))
    assert second.returncode == 1
    assert second.stderr == (
        f"everthread: everthread already runs on {up.home} (pid {up.process.pid}); "
        "stop that one first, or choose another folder with --home.\n"
    )
    taken = command(up.home.with_name("other"), "up", "--no-model", "--port", str(up.port))
    assert taken.returncode == 1
    assert taken.stderr.startswith(f"everthread: port {up.port} is taken on 127.0.0.1; ")

    token = command(up.home, "token", "--user", "demo", "--role", "admin")
    assert token.returncode == 0
    assert token.stdout.count(".") == 2
    assert token.stdout.count("\n") == 1

    doctor = command(up.home, "doctor", "--json")
    findings = {finding["what"]: finding["state"] for finding in json.loads(doctor.stdout)}
    assert doctor.returncode == 0, doctor.stdout
    assert findings["conversation-1"] == findings["gateway-1"] == findings["permissions"] == "ok"

    (up.home / "secrets.json").chmod(0o644)
    doctor = command(up.home, "doctor", EVERTHREAD_HOEM="x")
    assert doctor.returncode == 1
    assert "EVERTHREAD_HOEM" in doctor.stdout
    assert "chmod" in doctor.stdout
    (up.home / "secrets.json").chmod(0o600)


def test_parts_that_die_come_back_on_their_ports(up: Up) -> None:
    before = up.ps()
    assert set(before) == {"nats", "mongo", "conversation-1", "inference-1", "notifier-1", "gateway-1", "gateway-2"}
    assert [before[name]["port"] for name in ("gateway-1", "gateway-2")] == [up.port, up.port + 1]
    assert {part["state"] for part in before.values()} == {"ready"}
    assert json.loads(command(up.home, "ps", "--json").stdout) == list(before.values())

    for name in ("gateway-1", "conversation-1", "mongo", "nats"):
        os.kill(before[name]["pid"], signal.SIGKILL)

    def all_back() -> bool:
        now = up.ps()
        return all(part["state"] == "ready" for part in now.values()) and all(
            now[name]["pid"] not in (0, before[name]["pid"])
            for name in ("gateway-1", "conversation-1", "mongo", "nats")
        )

    until(all_back)
    after = up.ps()
    assert {name: part["port"] for name, part in after.items()} == {name: part["port"] for name, part in before.items()}


def test_children_do_not_outlive_a_killed_supervisor_and_the_data_outlives_all(up: Up) -> None:
    thread = up.call("POST", "/v1/threads", {"title": "kept"})["id"]
    pids = up.pids()
    assert all(map(alive, pids))
    up.process.kill()
    up.process.wait()
    until(lambda: not any(map(alive, pids)), 5)

    again = Up(up.home)
    try:
        assert again.call("GET", f"/v1/threads/{thread}")["title"] == "kept"
        pids = again.pids()
    finally:
        code = again.stop()
    assert code == 0
    assert not any(map(alive, pids))
    assert command(up.home, "ps", "--json").stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--scale", "gateway=none"], {}, "--scale 'gateway=none': a service has 1 to 16 processes, not 'none'"),
        (["--port", "70000"], {}, "--port 70000 is not a port"),
        ([], {"NATS_URL": "nats://user:secret@127.0.0.1:1"}, "no NATS server answers at NATS_URL (nats://127.0.0.1:1)"),
    ],
)
def test_a_start_that_cannot_succeed_is_refused_in_one_sentence(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], sentence: str
) -> None:
    port = [] if "--port" in arguments else ["--port", str(free_port())]
    refused = command(tmp_path / "home", "up", "--no-model", *port, *arguments, **variables)
    assert refused.returncode in (1, 2)
    assert refused.stderr.startswith(f"everthread: {sentence}")
    assert refused.stderr.count("\n") == 1
    assert "secret" not in refused.stderr + refused.stdout


def test_an_old_broker_is_refused(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = subprocess.Popen(
            [COMMAND, "up", "--no-model", "--port", str(free_port()), "--home", str(tmp_path / "home")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN | {"NATS_URL": f"nats://127.0.0.1:{listener.getsockname()[1]}"},
        )
        listener.settimeout(30)
        caller, _ = listener.accept()
        with caller:
            caller.sendall(b'INFO {"version":"2.11.4","jetstream":true}\r\n')
            _, complaint = process.communicate(timeout=30)
    assert process.returncode == 1
    assert complaint.startswith("everthread: the NATS server at NATS_URL is 2.11.4, and the run log needs 2.12.0")
    assert complaint.count("\n") == 1


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    refused = command(tmp_path / "home", "up", "--no-model")
    assert refused.returncode == 1
    assert "is a file where a folder is needed" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_commands_of_a_mesh_that_does_not_run_say_so(tmp_path: Path) -> None:
    listed = command(tmp_path, "ps")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert "start it with `everthread up`" in listed.stderr
    for arguments in (["chat", "--once", "hello"], ["chat", "--resume"], ["token", "--user", "demo"]):
        refused = command(tmp_path, *arguments)
        assert refused.returncode == 1
        assert "everthread up" in refused.stderr
        assert refused.stderr.count("\n") == 1
