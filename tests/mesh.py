"""The whole mesh as a user starts it: `everthread up` as a process, its services killed by pid, its doors used by HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from everthread.home import Home
from everthread.keys import development_token
from everthread.ports import free_port
from everthread.ps import current
from everthread.state import public

from tests.plain_http import plain_client
from tests.sse import Frame, frames

ROOT = Path(__file__).resolve().parents[1]
COMMAND = str(Path(sys.executable).parent / "everthread")
TERMINAL = {"run.completed", "run.failed", "run.cancelled"}


@dataclass
class Mesh:
    """A running mesh. `urls` are its gateways; every helper acts as user `demo` unless told otherwise."""

    home: Path
    environment: dict[str, str]
    port: int
    gateways: int
    process: subprocess.Popen[str]
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port + index}" for index in range(self.gateways)]

    def command(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the everthread command against this mesh."""
        return subprocess.run(
            [COMMAND, *arguments, "--home", str(self.home)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self.environment,
            cwd=ROOT,
        )

    def ps(self) -> dict[str, dict[str, Any]]:
        """What `everthread ps --json` prints, by name, looked at in this process: tests ask it some hundred times."""
        running = current(Home(self.home))
        assert running is not None, f"no mesh runs in {self.home}"
        return {str(part["name"]): part for part in public(running.parts)}

    def health_ports(self) -> dict[str, int]:
        """Where each part tells whether it is ready and what it counts, from the supervisor's own state."""
        state = json.loads((self.home / "state.json").read_text("utf-8"))
        return {part["name"]: part["health_port"] for part in state["parts"]}

    def names(self) -> list[str]:
        """Every part's name, at once: who works on a run is asked while it goes on."""
        return list(self.ps())

    def pid(self, name: str) -> int:
        pid: int = self.ps()[name]["pid"]
        return pid

    def signal(self, name: str, number: int) -> int:
        """Send a signal to a part by its name; the pid it went to."""
        pid = self.pid(name)
        self.send(pid, number)
        return pid

    def send(self, pid: int, number: int) -> None:
        """Send a signal to the process of a part."""
        os.kill(pid, number)

    async def wait_ready(self, *, changed: dict[str, int] | None = None, within: float = 40) -> None:
        """Until every part is ready (and those in `changed` have another pid than given)."""
        deadline = time.monotonic() + within
        parts: dict[str, dict[str, Any]] = {}
        while time.monotonic() < deadline:
            parts = await asyncio.to_thread(self.ps)
            renewed = all(parts[name]["pid"] != pid for name, pid in (changed or {}).items())
            if renewed and all(part["state"] == "ready" for part in parts.values()):
                return
            await asyncio.sleep(0.2)
        logs = "".join(f"\n== {name}\n{self.log(name)[-3000:]}" for name in parts if parts[name]["state"] != "ready")
        raise AssertionError(f"not ready within {within} s: {parts}{logs}")

    def token(self, user: str = "demo", role: str = "user") -> str:
        if (user, role) not in self.tokens:
            self.tokens[user, role] = development_token(Home(self.home), user=user, role=role, ttl="12h")
        return self.tokens[user, role]

    def client(self, gateway: int = 0, user: str = "demo") -> httpx2.AsyncClient:
        return plain_client(
            base_url=self.urls[gateway],
            headers={"authorization": f"Bearer {self.token(user)}"},
            timeout=httpx2.Timeout(30, read=60),
        )

    def log(self, name: str) -> str:
        """A child's log, for the message of a failed assertion."""
        path = self.home / "logs" / f"{name}.log"
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise


def start(
    home: Path,
    *,
    scale: str = "",
    gateways: int = 1,
    model: bool = False,
    page: bool = False,
    demo: bool = False,
    environment: dict[str, str] | None = None,
    within: float = 90,
) -> Mesh:
    """`everthread up` until it says ready; raises AssertionError with its output when it does not."""
    port = free_port(gateways)
    inherited = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("EVERTHREAD_", "OPENAI_", "NATS_", "MONGODB_", "OTEL_"))
    }
    full = inherited | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"} | (environment or {})
    arguments = [COMMAND, "up", "--port", str(port), "--home", str(home)]
    if scale:
        arguments += ["--scale", scale]
    if not model:
        arguments += ["--no-model"]
    if not page:
        arguments += ["--no-page"]
    if demo:
        arguments += ["--demo"]
    home.mkdir(parents=True, exist_ok=True)
    output = home / "up.out"
    with output.open("w") as sink:
        process = subprocess.Popen(arguments, stdout=sink, stderr=subprocess.STDOUT, text=True, env=full, cwd=ROOT)
    mesh = Mesh(home, full, port, gateways, process)
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if f"ready {mesh.urls[0]}" in output.read_text("utf-8").splitlines():
            return mesh
        if process.poll() is not None:
            break
        time.sleep(0.1)
    if process.poll() is None:
        mesh.stop()
    raise AssertionError(f"everthread up did not get ready:\n{output.read_text('utf-8')}")


async def create_thread(client: httpx2.AsyncClient, **fields: Any) -> str:
    response = await client.post("/v1/threads", json=fields)
    assert response.status_code == 201, response.text
    thread_id: str = response.json()["id"]
    return thread_id


async def send(client: httpx2.AsyncClient, thread_id: str, content: str, **fields: Any) -> dict[str, Any]:
    response = await client.post(f"/v1/threads/{thread_id}/messages", json={"content": content, **fields})
    assert response.status_code == 202, response.text
    accepted: dict[str, Any] = response.json()
    return accepted


async def send_until_accepted(
    client: httpx2.AsyncClient, thread_id: str, content: str, **fields: Any
) -> dict[str, Any]:
    """As a client does that is told to try again in a moment, with the same key: for scenes that ask much at once."""
    body, headers = {"content": content, **fields}, {"idempotency-key": str(uuid.uuid4())}
    for _ in range(30):
        response = await client.post(f"/v1/threads/{thread_id}/messages", json=body, headers=headers)
        if response.status_code != 503:
            break
        await asyncio.sleep(float(response.headers["retry-after"]))
    assert response.status_code == 202, response.text
    accepted: dict[str, Any] = response.json()
    return accepted


@contextlib.asynccontextmanager
async def watching(client: httpx2.AsyncClient, path: str, cursor: str = "") -> AsyncIterator[AsyncIterator[Frame]]:
    """An attached viewer: the frames of an event stream."""
    headers = {"last-event-id": cursor} if cursor else {}
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield frames(response)


async def to_the_end(client: httpx2.AsyncClient, run_id: str, cursor: str = "") -> list[Frame]:
    """Every frame of a run from the cursor to its terminal event. The stream must reach it without a reconnect."""
    seen: list[Frame] = []
    async with watching(client, f"/v1/runs/{run_id}/events", cursor) as stream:
        async for frame in stream:
            seen.append(frame)
    assert seen, "the stream was empty"
    assert seen[-1].event in TERMINAL, f"the stream ended with {seen[-1]}"
    return seen


async def writing(mesh: Mesh, client: httpx2.AsyncClient, run_id: str, deltas: int = 10) -> str:
    """The name of the inference process that writes a run, once it has written so many pieces of text."""
    worker = ""
    async with watching(client, f"/v1/runs/{run_id}/events") as stream:
        async for frame in stream:
            if frame.event == "attempt.started":
                worker = frame.json["worker"]
            deltas -= frame.event == "text.delta"
            if deltas <= 0:
                break
    (name,) = [name for name in mesh.names() if worker.startswith(f"{name}-")]
    return name


async def messages(client: httpx2.AsyncClient, thread_id: str) -> list[dict[str, Any]]:
    """Every message of a thread, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        parameters = {"cursor": cursor} if cursor else {}
        response = await client.get(f"/v1/threads/{thread_id}/messages", params=parameters)
        assert response.status_code == 200, response.text
        found += response.json()["items"]
        cursor = response.json()["next_cursor"] or None
    return found


async def stored_answer(client: httpx2.AsyncClient, thread_id: str, run_id: str, within: float = 15) -> dict[str, Any]:
    """The message of a run, once it is final and in the database: it is shown from the log a moment before."""
    deadline = time.monotonic() + within
    while not await _is_stored(client, run_id):
        assert time.monotonic() < deadline, f"not stored within {within} s: {await messages(client, thread_id)}"
        await asyncio.sleep(0.1)
    answers = [m for m in await messages(client, thread_id) if m["run_id"] == run_id and m["role"] == "assistant"]
    assert len(answers) == 1, answers
    assert answers[0]["status"] in {"complete", "error", "cancelled"}, answers
    return answers[0]


async def _is_stored(client: httpx2.AsyncClient, run_id: str) -> bool:
    response = await client.get(f"/v1/runs/{run_id}/verify")
    if response.status_code == 503:
        # Where a broker was killed its log has no leader for a moment, and the answer says to ask again.
        return False
    assert response.status_code == 200, response.text
    return "not stored yet" not in (response.json()["reason"] or "")
