"""`task bench`: the whole mesh against the bare upstream it asks, in one run, arms interleaved.

What is measured and how to read it: docs/benchmarks.md, whose tables this writes. Loopback only; every arm is bounded by a
token count and a deadline, and everything started here is stopped here.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvloop
from rich.console import Console
from rich.table import Table

from tests import mesh as mesh_module
from tests.load.generator import Stream, read_stream
from tests.load.processes import cpu_seconds, fsync_ms, pss_mib
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: written by task bench -->", "<!-- end of figures -->"
DIRECT_END = (b"data: [DONE]",)
RUN_END = (b"event: run.completed", b"event: run.failed", b"event: run.cancelled")
console = Console()


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile (0 to 1) by nearest rank; raises on no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


STARTS = 25
"""Streams started per second. A run costs about 50 ms of CPU time beside its tokens, most of it in the
embedded database and the driver, so these alone are more than one of two cores."""


@dataclass
class Arm:
    """One arm's figures: per-token latency in ms, first token in ms, CPU seconds by process, losses.

    `latencies` are those of the time in which all streams run; `beside_starts` those of the seconds before and after it, in
    which STARTS answers a second are accepted, and later recorded, beside the ones that run.
    """

    name: str
    latencies: list[float] = field(default_factory=list)
    beside_starts: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    lost: int = 0
    doubled: int = 0

    def add(self, streams: list[Stream], expected: int) -> None:
        """Count one round; the first second of every stream is dropped from the latencies."""
        # What the last one's start leaves to do is done a second later.
        all_run = max(stream.first_token_at for stream in streams) + 1_000_000_000
        one_ends = min(stream.arrivals[-1][0] for stream in streams)
        for stream in streams:
            self.tokens += len(stream.indexes)
            self.lost += expected - len(set(stream.indexes))
            self.doubled += len(stream.indexes) - len(set(stream.indexes))
            self.first_token.append((stream.first_token_at - stream.asked_at) / 1e6)
            warm = stream.first_token_at + 1_000_000_000
            for when, late in stream.arrivals:
                if when > warm:
                    (self.latencies if all_run < when < one_ends else self.beside_starts).append(late / 1e6)


async def together(count: int, one: Callable[[Stream], Coroutine[Any, Any, None]]) -> list[Stream]:
    """`count` streams, STARTS a second."""
    streams = [Stream() for _ in range(count)]

    async def delayed(index: int) -> None:
        await asyncio.sleep(index / STARTS)
        await one(streams[index])

    await asyncio.gather(*(delayed(index) for index in range(count)))
    return streams


async def direct_round(upstream: UpstreamProcess, count: int, content: str) -> list[Stream]:
    """Every stream straight from the upstream."""
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": content}]}

    async def one(stream: Stream) -> None:
        await read_stream(f"{upstream.base_url}/chat/completions", stream, end_marks=DIRECT_END, body=body)

    return await together(count, one)


async def durable_round(mesh: Mesh, threads: list[str], client: httpx2.AsyncClient, content: str) -> list[Stream]:
    """Every stream a message through the mesh, watched by the native event stream. `asked_at` is the POST."""
    headers = {"authorization": f"Bearer {mesh.token()}"}
    waiting = list(threads)

    async def one(stream: Stream) -> None:
        thread = waiting.pop()
        stream.asked_at = time.monotonic_ns()
        accepted = await mesh_module.send(client, thread, content)
        await read_stream(
            f"{mesh.urls[0]}/v1/runs/{accepted['run_id']}/events", stream, end_marks=RUN_END, headers=headers
        )

    return await together(len(threads), one)


def _cpu(mesh: Mesh, upstream: UpstreamProcess) -> dict[str, float]:
    used = {name: cpu_seconds(part["pid"]) for name, part in mesh.ps().items()}
    return used | {"upstream": cpu_seconds(upstream.pid), "generator": cpu_seconds(os.getpid())}


async def tokens_arm(
    mesh: Mesh,
    upstream: UpstreamProcess,
    client: httpx2.AsyncClient,
    *,
    count: int,
    rate: int,
    seconds: int,
    rounds: int,
) -> tuple[Arm, Arm]:
    """Direct and durable, interleaved `rounds` times."""
    expected = rate * seconds
    content = f"tokens={expected} rate={rate} stamp"
    direct, durable = Arm("direct"), Arm("durable")
    for number in range(rounds):
        console.print(f"  {count} streams x {rate}/s, round {number + 1} of {rounds}")
        threads = [await mesh_module.create_thread(client) for _ in range(count)]
        for arm in (direct, durable):
            before = _cpu(mesh, upstream)
            if arm is direct:
                streams = await direct_round(upstream, count, content)
            else:
                streams = await durable_round(mesh, threads, client, content)
            for name, used in _cpu(mesh, upstream).items():
                arm.cpu[name] = arm.cpu.get(name, 0.0) + used - before.get(name, 0.0)
            arm.add(streams, expected)
            await asyncio.sleep(1)
    return direct, durable


async def accept_arm(client: httpx2.AsyncClient, count: int) -> list[float]:
    """Milliseconds from POST to 202, one after another."""
    thread = await mesh_module.create_thread(client)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        accepted = await mesh_module.send(client, thread, "tokens=1")
        times.append((time.perf_counter() - start) * 1000)
        await mesh_module.stored_answer(client, thread, accepted["run_id"])
    return times


async def first_token_arm(mesh: Mesh, upstream: UpstreamProcess, client: httpx2.AsyncClient, count: int) -> list[float]:
    """Milliseconds from the upstream's first token to the viewer's, one message after another."""
    headers = {"authorization": f"Bearer {mesh.token()}"}
    thread = await mesh_module.create_thread(client)
    added = []
    for _ in range(count):
        accepted = await mesh_module.send(client, thread, "tokens=5 rate=20 stamp delay=0.3")
        stream = Stream()
        url = f"{mesh.urls[0]}/v1/runs/{accepted['run_id']}/events"
        await read_stream(url, stream, end_marks=RUN_END, headers=headers)
        added.append(stream.arrivals[0][1] / 1e6)
    return added


async def takeover_arm(mesh: Mesh, client: httpx2.AsyncClient, count: int) -> list[float]:
    """Milliseconds from `kill -9` of the worker to the next token that a viewer sees."""
    silences = []
    for _ in range(count):
        await mesh.wait_ready()
        thread = await mesh_module.create_thread(client)
        accepted = await mesh_module.send(client, thread, "tokens=150 rate=50")
        killed: dict[str, int] = {}
        at = 0.0
        deltas = 0
        async with mesh_module.watching(client, f"/v1/runs/{accepted['run_id']}/events") as stream:
            worker = ""
            async for frame in stream:
                if frame.event == "attempt.started":
                    worker = frame.json["worker"]
                deltas += frame.event == "text.delta"
                if deltas == 30 and not killed:
                    name = next(n for n in mesh.ps() if worker == n or worker.startswith(n + "-"))
                    killed[name] = mesh.signal(name, signal.SIGKILL)
                    at = time.perf_counter()
                elif killed and frame.event == "text.delta" and frame.json["attempt"] > 1:
                    silences.append((time.perf_counter() - at) * 1000)
                    break
        await mesh.wait_ready(changed=killed)
    return silences


async def resume_arm(mesh: Mesh, client: httpx2.AsyncClient, count: int) -> list[float]:
    """Milliseconds to fetch a whole paced answer of 2,000 tokens at the other gateway, connection included."""
    thread = await mesh_module.create_thread(client)
    accepted = await mesh_module.send(client, thread, "tokens=2000 rate=400 stamp")
    await mesh_module.stored_answer(client, thread, accepted["run_id"], within=30)
    headers = {"authorization": f"Bearer {mesh.token()}"}
    times = []
    for _ in range(count):
        stream = Stream(asked_at=time.monotonic_ns())
        start = time.perf_counter()
        url = f"{mesh.urls[-1]}/v1/runs/{accepted['run_id']}/events"
        await read_stream(url, stream, end_marks=RUN_END, headers=headers)
        times.append((time.perf_counter() - start) * 1000)
        assert len(set(stream.indexes)) == 2000, "resume lost tokens"
    return times


def _row(values: Sequence[float], unit: str) -> str:
    return f"p50 {quantile(values, 0.5):.1f} {unit}, p99 {quantile(values, 0.99):.1f} {unit} (n = {len(values)})"


async def measure(arguments: argparse.Namespace, store: Path) -> dict[str, Any]:
    """Every arm on one mesh with its data under `store`; the figures as data."""
    figures: dict[str, Any] = {"store": str(store), "fsync_ms": fsync_ms(store)}
    with tempfile.TemporaryDirectory(prefix="everthread-bench-", dir=store) as home, UpstreamProcess() as upstream:
        started = time.perf_counter()
        mesh = mesh_module.start(
            Path(home) / "mesh",
            scale="gateway=2,inference=2",
            gateways=2,
            environment={"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "bench"},
        )
        figures["up_seconds"] = time.perf_counter() - started
        try:
            await mesh.wait_ready()
            await asyncio.sleep(3)
            parts = mesh.ps()
            figures["pss_mib"] = {name: pss_mib(part["pid"]) for name, part in parts.items()}
            async with mesh.client() as client:
                await accept_arm(client, 5)
                console.print("accepting messages")
                figures["accept_ms"] = await accept_arm(client, arguments.samples)
                console.print("first token")
                figures["first_token_ms"] = await first_token_arm(mesh, upstream, client, arguments.samples // 3 + 1)
                direct, durable = await tokens_arm(
                    mesh,
                    upstream,
                    client,
                    count=arguments.streams,
                    rate=arguments.rate,
                    seconds=arguments.seconds,
                    rounds=arguments.rounds,
                )
                figures["direct"], figures["durable"] = direct, durable
                console.print("resume")
                figures["resume_ms"] = await resume_arm(mesh, client, arguments.samples // 3 + 1)
                console.print("takeover")
                figures["takeover_ms"] = await takeover_arm(mesh, client, 5)
        finally:
            mesh.stop()
    return figures


def report(figures: dict[str, Any], arguments: argparse.Namespace) -> str:
    """The figures as the tables of docs/benchmarks.md."""
    direct, durable = figures["direct"], figures["durable"]
    added, added_beside = (
        [quantile(getattr(durable, of), q) - quantile(getattr(direct, of), q) for q in (0.5, 0.99)]
        for of in ("latencies", "beside_starts")
    )
    services = {n: m for n, m in figures["pss_mib"].items() if n.endswith("-1")}
    lines = [
        f"### Data on {figures['store']}: {figures['fsync_ms']:.3f} ms a synced write",
        "",
        "| what | figure | goal |",
        "|---|---|---|",
        f"| `up` to ready, two gateways and two workers, without the model | {figures['up_seconds']:.1f} s | < 10 s |",
        f"| message accepted (POST to 202) | {_row(figures['accept_ms'], 'ms')} | p50 ≤ 40 ms |",
        f"| first token after the upstream's | {_row(figures['first_token_ms'], 'ms')} | ≤ 60 ms |",
        f"| latency a token, direct | p50 {quantile(direct.latencies, 0.5):.2f} ms, p99 {quantile(direct.latencies, 0.99):.2f} ms | – |",
        f"| latency a token, durable | p50 {quantile(durable.latencies, 0.5):.2f} ms, p99 {quantile(durable.latencies, 0.99):.2f} ms | – |",
        f"| **added by the mesh, while all {arguments.streams} run** | **p50 {added[0]:.2f} ms, p99 {added[1]:.2f} ms** "
        "| p50 ≤ 2 ms, p99 ≤ 10 ms |",
        f"| added while {STARTS} more a second are accepted or recorded | p50 {added_beside[0]:.2f} ms, "
        f"p99 {added_beside[1]:.2f} ms | – |",
        f"| tokens lost · doubled, durable | {durable.lost} · {durable.doubled} of {durable.tokens} | 0 · 0 |",
        f"| whole answer of 2,000 tokens again, at another gateway | {_row(figures['resume_ms'], 'ms')} | – |",
        f"| silence after `kill -9` of the worker | p50 {statistics.median(figures['takeover_ms']):.0f} ms, "
        f"worst {max(figures['takeover_ms']):.0f} ms (n = {len(figures['takeover_ms'])}) | ≤ 1,000 ms |",
        f"| four services idle (PSS) | {sum(services[n] for n in services):.0f} MiB: "
        + ", ".join(f"{n.removesuffix('-1')} {m:.0f}" for n, m in services.items())
        + " | < 400 MiB |",
        "",
        "CPU of each process per token that reached a viewer, in µs:",
        "",
        "| process | direct | durable |",
        "|---|---|---|",
    ]
    for name in durable.cpu:
        per_token = [arm.cpu.get(name, 0.0) / max(arm.tokens, 1) * 1e6 for arm in (direct, durable)]
        lines.append(f"| {name} | {per_token[0]:.1f} | {per_token[1]:.1f} |")
    return "\n".join(lines)


def heading(arguments: argparse.Namespace) -> str:
    """On what machine, by which command."""
    return (
        f"Machine: {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}. Command: `uv run task "
        f"bench -- --streams {arguments.streams} --rate {arguments.rate} --seconds {arguments.seconds} "
        f"--rounds {arguments.rounds} --samples {arguments.samples}`."
    )


def show(text: str) -> None:
    """The report's tables in the terminal."""
    table = Table(show_header=False)
    for line in text.splitlines():
        if line.startswith("### "):
            table.add_section()
            table.add_row(line.removeprefix("### "), "", "")
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else []
        if len(cells) >= 2:
            table.add_row(*cells)
    console.print(table)


def main() -> None:
    """Measure, print, and (unless --no-write) put the tables into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument(
        "--store", type=Path, action="append", help="where the servers keep their data; may be given more than once"
    )
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    arguments = parser.parse_args()
    stores = arguments.store or [
        folder for folder in (Path("/dev/shm"), Path(tempfile.gettempdir())) if folder.is_dir()
    ]
    runs = [uvloop.run(measure(arguments, store)) for store in stores]
    text = "\n\n".join([heading(arguments), *(report(figures, arguments) for figures in runs)])
    show(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, default=vars, indent=1), "utf-8")
    if not arguments.no_write:
        page = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", PAGE.read_text("utf-8"), flags=re.DOTALL)
        PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
