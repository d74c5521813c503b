"""`task bench:feed`: how long it takes from something happening to its being seen on another device.

So many users are connected, each with one device on the feed (`GET /v1/me/events`); another device of one of them renames a
thread. Two clocks: one runs from the fact being stored on THREADS (seen there by the bench itself) to its arrival at the first
device; the other from the time that conversation gave the event, before its transaction: database and outbox are in it too. Loopback only; bounded by the number of events and a
deadline; what is started here is stopped here. The figures go into docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import platform
import re
import resource
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import uvloop
from bus.api import Entry
from bus.jetstream import connect
from contracts.facts import decode_fact
from contracts.subjects import THREAD_FACTS
from everthread.home import Home
from everthread.keys import mint
from everthread.reach import of_mesh
from everthread.state import read_state
from rich.console import Console

from tests import mesh as mesh_module
from tests.load.bench import PAGE, quantile
from tests.load.processes import cpu_seconds, fsync_ms
from tests.mesh import Mesh

BEGIN, END = "<!-- feed figures: written by task bench:feed -->", "<!-- end of feed figures -->"
DATA = re.compile(rb"data: (\{.*\})")
CONNECTING_AT_ONCE = 50
SEEN_WITHIN = 10.0
console = Console()


class Device(asyncio.Protocol):
    """One device on a feed: hands each entry to whoever waits for its title."""

    def __init__(self, request: bytes, waiting: dict[str, asyncio.Future[tuple[float, str, str]]]) -> None:
        self._request, self._waiting, self._rest = request, waiting, b""
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in all but the class.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self.connected.done():
            if b" 200 " not in data[:20]:
                self.connected.set_exception(AssertionError(data[:200].decode(errors="replace")))
                return
            self.connected.set_result(None)
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            found = DATA.search(frame)
            if found is not None:
                entry = json.loads(found[1])
                waiter = self._waiting.pop((entry.get("changes") or {}).get("title", ""), None)
                if waiter is not None and not waiter.done():
                    waiter.set_result((now, entry["at"], entry["id"]))


@dataclass
class Figures:
    """Milliseconds per event, and CPU seconds by process."""

    stored: list[float] = field(default_factory=list)
    happened: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    renamed: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    lost: int = 0


async def connect_devices(mesh: Mesh, tokens: list[str], waiting: dict[str, asyncio.Future[Any]]) -> list[Device]:
    """A device per user on the feed, spread over the gateways."""
    loop, slots = asyncio.get_running_loop(), asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect(number: int, token: str) -> Device:
        url = urlsplit(mesh.urls[number % len(mesh.urls)])
        request = (
            f"GET /v1/me/events?cursor=latest HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {token}\r\n\r\n"
        ).encode()
        async with slots:
            _, device = await loop.create_connection(
                lambda: Device(request, waiting), str(url.hostname), int(url.port or 80)
            )
            await asyncio.wait_for(device.connected, 30)
        return device

    return list(await asyncio.gather(*(connect(number, token) for number, token in enumerate(tokens))))


async def measure(mesh: Mesh, *, users: int, events: int, rate: float) -> Figures:
    """`events` renamings at `rate` a second, each seen on another device of the same user."""
    key = Home(mesh.home).dev_key
    tokens = [mint(key, user=f"user-{number}", role="user", lifetime=3600) for number in range(users)]
    waiting: dict[str, asyncio.Future[tuple[float, str, str]]] = {}
    devices = await connect_devices(mesh, tokens, waiting)
    console.print(f"{len(devices)} devices connected")
    figures = Figures()
    stored_at: dict[str, float] = {}

    def heard(entry: Entry) -> None:
        stored_at[decode_fact(entry.data).id] = time.time()

    home = Home(mesh.home)
    state = read_state(home.state)
    assert state is not None
    bus = await connect(of_mesh(home, state).nats_url, instance="bench")
    async with bus.watch_live(THREAD_FACTS, heard), httpx2.AsyncClient(base_url=mesh.urls[-1], timeout=30) as client:
        active = list(range(0, users, max(1, users // 100)))
        threads: dict[int, str] = {}
        for user in active:
            made = await client.post("/v1/threads", json={}, headers={"authorization": f"Bearer {tokens[user]}"})
            threads[user] = made.json()["id"]
        await asyncio.sleep(1)
        parts = mesh.ps()
        before = {name: cpu_seconds(part["pid"]) for name, part in parts.items()}
        begin, under_way = time.monotonic(), set[asyncio.Task[None]]()

        async def rename(number: int) -> None:
            user, title = active[number % len(active)], f"event {number}"
            seen = waiting.setdefault(title, asyncio.get_running_loop().create_future())
            asked = time.time()
            answer = await client.patch(
                f"/v1/threads/{threads[user]}",
                json={"title": title},
                headers={"authorization": f"Bearer {tokens[user]}"},
            )
            assert answer.status_code == 200, answer.text
            figures.renamed.append((time.time() - asked) * 1000)
            try:
                arrived, at, fact_id = await asyncio.wait_for(seen, SEEN_WITHIN)
            except TimeoutError:
                figures.lost += 1
                return
            happened = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
            figures.happened.append((arrived - happened) * 1000)
            figures.stored.append((arrived - stored_at[fact_id]) * 1000)
            figures.asked.append((arrived - asked) * 1000)

        for number in range(events):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            task = asyncio.create_task(rename(number))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*list(under_way))
        figures.cpu = {name: cpu_seconds(part["pid"]) - before[name] for name, part in parts.items()}
    await bus.drain()
    for device in devices:
        if device.transport is not None:
            device.transport.abort()
    return figures


def report(found: dict[str, Figures], syncs: dict[str, float], arguments: argparse.Namespace) -> str:
    """The figures as the table of docs/benchmarks.md."""
    lines = [
        f"Machine: {platform.system()}, Python {platform.python_version()}. Command: `uv run task bench:feed --"
        f" --users {arguments.users} --events {arguments.events} --rate {arguments.rate:g}`.",
        "",
        "| what | " + " | ".join(f"{store}, {syncs[store]:.3f} ms a synced write" for store in found) + " | goal |",
        "|---" * (len(found) + 2) + "|",
    ]
    rows = (
        ("**stored → seen on another device**", "stored", "p50 ≤ 50 ms"),
        ("happened (before the transaction) → seen on another device", "happened", "–"),
        ("asked (PATCH sent) → seen on another device", "asked", "–"),
        ("asked → answered", "renamed", "–"),
    )
    for what, name, goal in rows:
        cells = []
        for figures in found.values():
            values = getattr(figures, name)
            cells.append(f"p50 {quantile(values, 0.5):.1f}, p99 {quantile(values, 0.99):.1f} ms (n = {len(values)})")
        lines.append(f"| {what} | " + " | ".join(cells) + f" | {goal} |")
    lines.append("| never seen | " + " | ".join(str(figures.lost) for figures in found.values()) + " | 0 |")
    for name in next(iter(found.values())).cpu:
        cells = [f"{figures.cpu[name] / arguments.events * 1000:.2f} ms" for figures in found.values()]
        lines.append(f"| CPU of {name} per event | " + " | ".join(cells) + " | – |")
    return "\n".join(lines)


async def run(arguments: argparse.Namespace) -> str:
    """Measure on each store."""
    found: dict[str, Figures] = {}
    syncs: dict[str, float] = {}
    for store in arguments.stores:
        with tempfile.TemporaryDirectory(prefix="everthread-feed-", dir=store) as home:
            mesh = mesh_module.start(Path(home) / "mesh", scale="gateway=2", gateways=2)
            try:
                await mesh.wait_ready()
                async with asyncio.timeout(arguments.events / arguments.rate + 180):
                    found[str(store)] = await measure(
                        mesh, users=arguments.users, events=arguments.events, rate=arguments.rate
                    )
                syncs[str(store)] = fsync_ms(store)
            finally:
                mesh.stop()
    return report(found, syncs, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1000, choices=range(1, 5001), metavar="1..5000")
    parser.add_argument("--events", type=int, default=600, choices=range(10, 20001), metavar="10..20000")
    parser.add_argument("--rate", type=float, default=20.0, help="events a second")
    parser.add_argument("--stores", type=Path, nargs="+", default=[Path("/dev/shm"), Path(tempfile.gettempdir())])
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * arguments.users + 1000)), hard))
    text = uvloop.run(run(arguments))
    console.print(text, markup=False)
    if not arguments.no_write:
        page = PAGE.read_text("utf-8")
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}", "utf-8")


if __name__ == "__main__":
    main()
