"""`task bench:telemetry`: what traces and metrics over OTLP cost the four services, per token that reaches a viewer.

Two meshes on this machine, one exporting to a receiver that is a process of its own (every trace, as by default, and the
figures), the other not. Rounds of the two are interleaved, each round's order turned around; the first round of each is not
counted. What is measured and how to read it: docs/benchmarks.md, whose table this writes. Loopback only; every round is
bounded by a token count and a deadline.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from rich.console import Console

from tests import mesh as mesh_module
from tests.load.bench import PAGE, Arm, durable_round, quantile
from tests.load.processes import cpu_seconds
from tests.mesh import Mesh
from tests.otlp_receiver import OtlpReceiver
from tests.upstream import UpstreamProcess

BEGIN, END = "<!-- telemetry figures: written by task bench:telemetry -->", "<!-- end of telemetry figures -->"
SERVICES = ("gateway", "conversation", "inference", "notifier")
EXPORT_SECONDS = 2.5
"""After a round, so that what it exports is in its own figures: spans wait a second for their batch."""
GOAL = 5.0
console = Console()


class Receiver:
    """The collector as a process: where it is, and how many spans it has."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.endpoint = self._ask("")

    @property
    def spans(self) -> int:
        """How many came so far."""
        return int(self._ask("count\n"))

    def _ask(self, question: str) -> str:
        pipes = self._process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(question)
        pipes.stdin.flush()
        return pipes.stdout.readline().strip()


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, until the block ends."""
    command = [sys.executable, "-m", "tests.load.telemetry", "--receive"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # Its input is closed when the block ends, and that is its end.
        yield Receiver(process)


def receive() -> None:
    """Be the receiver: say where, then the number of spans for each line, until there are no more lines."""
    with OtlpReceiver() as receiver:
        print(receiver.endpoint, flush=True)
        count = 0
        for _ in sys.stdin:
            count += len(receiver.spans())
            receiver.clear()
            print(count, flush=True)


@dataclass
class Side:
    """One mesh and its rounds. `cpu` has the CPU µs per token of each counted round, by service."""

    name: str
    mesh: Mesh
    cpu: list[dict[str, float]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    lost: int = 0

    def total(self) -> list[float]:
        """All four services together, round by round."""
        return [sum(used.values()) for used in self.cpu]


def _used(mesh: Mesh) -> dict[str, float]:
    used = dict.fromkeys(SERVICES, 0.0)
    for name, part in mesh.ps().items():
        service = name.rpartition("-")[0]
        if service in used:
            used[service] += cpu_seconds(part["pid"])
    return used


async def one_round(side: Side, arguments: argparse.Namespace, *, counted: bool) -> None:
    """Every stream once, and what the services used for it, export included."""
    expected = arguments.rate * arguments.seconds
    async with side.mesh.client() as client:
        threads = [await mesh_module.create_thread(client) for _ in range(arguments.streams)]
        before = _used(side.mesh)
        content = f"tokens={expected} rate={arguments.rate} stamp"
        streams = await durable_round(side.mesh, threads, client, content)
        await asyncio.sleep(EXPORT_SECONDS)
        after = _used(side.mesh)
    arm = Arm(side.name)
    arm.add(streams, expected)
    side.lost += arm.lost + arm.doubled
    per_token = {name: (after[name] - before[name]) / arm.tokens * 1e6 for name in SERVICES}
    console.print(f"  {side.name}: {sum(per_token.values()):.1f} µs a token{'' if counted else ' (not counted)'}")
    if counted:
        side.cpu.append(per_token)
        side.latencies += arm.latencies


def _start(home: Path, upstream: UpstreamProcess, more: dict[str, str]) -> Mesh:
    environment = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "bench"} | more
    return mesh_module.start(home, environment=environment)


async def measure(arguments: argparse.Namespace) -> tuple[Side, Side, int]:
    """Both sides with their figures, and how many spans were received in counted rounds."""
    with (
        tempfile.TemporaryDirectory(prefix="everthread-telemetry-", dir=arguments.store) as home,
        UpstreamProcess() as upstream,
        receiving() as receiver,
        contextlib.ExitStack() as running,
    ):
        on = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{receiver.endpoint}/v1/metrics",
        }
        sides = []
        for name, more in (("off", {}), ("on", on)):
            mesh = _start(Path(home) / name, upstream, more)
            running.callback(mesh.stop)
            sides.append(Side(name, mesh))
        for side in sides:
            await side.mesh.wait_ready()
        spans_before = 0
        for number in range(arguments.rounds + 1):
            console.print(f"round {number} of {arguments.rounds}")
            for side in sides if number % 2 else reversed(sides):
                await one_round(side, arguments, counted=number > 0)
            if number == 0:
                spans_before = receiver.spans
        spans = receiver.spans - spans_before
    return sides[0], sides[1], spans


def _change(off: Sequence[float], on: Sequence[float]) -> list[float]:
    """What each round with telemetry used more than the one beside it, in percent."""
    return [(more / less - 1) * 100 for less, more in zip(off, on, strict=True)]


def report(off: Side, on: Side, spans: int, arguments: argparse.Namespace) -> str:
    """The figures as the table of docs/benchmarks.md."""
    answers = arguments.streams * arguments.rounds
    changes = _change(off.total(), on.total())
    lines = [
        f"Machine: {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}. Command: `uv run task "
        f"bench:telemetry -- --streams {arguments.streams} --rate {arguments.rate} --seconds {arguments.seconds} "
        f"--rounds {arguments.rounds}`.",
        "",
        "| CPU per token | off, µs | on, µs | more |",
        "|---|---|---|---|",
    ]
    for name in SERVICES:
        without, having = ([used[name] for used in side.cpu] for side in (off, on))
        more = statistics.median(_change(without, having))
        lines.append(f"| {name} | {statistics.median(without):.1f} | {statistics.median(having):.1f} | {more:+.1f} % |")
    lines += [
        f"| **all four** | {statistics.median(off.total()):.1f} | {statistics.median(on.total()):.1f} "
        f"| **{statistics.median(changes):+.1f} %** (goal ≤ {GOAL:g} %) |",
        "",
        f"Round by round, all four: {', '.join(f'{change:+.1f} %' for change in changes)}. "
        f"{spans / answers:.0f} spans an answer. "
        f"Latency a token p50 {quantile(off.latencies, 0.5):.1f} ms off, {quantile(on.latencies, 0.5):.1f} ms on; "
        f"tokens lost or doubled: {off.lost + on.lost}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and (unless --no-write) put the table into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=5)
    default = Path("/dev/shm")
    parser.add_argument("--store", type=Path, default=default if default.is_dir() else Path(tempfile.gettempdir()))
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        receive()
        return
    off, on, spans = uvloop.run(measure(arguments))
    text = report(off, on, spans, arguments)
    console.print(text, markup=False)
    if not arguments.no_write:
        page = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", PAGE.read_text("utf-8"), flags=re.DOTALL)
        PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
