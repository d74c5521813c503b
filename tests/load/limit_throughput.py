"""Rows of `task bench:limits`: ever more answers at once, until tokens are later than a second."""

import asyncio
import os
import time
from collections.abc import Iterator

import httpx2

from tests import mesh as mesh_module
from tests.load.bench import quantile
from tests.load.figures import Row, console
from tests.load.processes import cpu_seconds
from tests.load.viewers import Viewer, attach
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

STEPS = (100, 200, 300, 400, 500)
RATE = 50
STARTS = 25
"""Answers begun a second: acceptance costs the embedded database more than tokens do."""
TOGETHER_SECONDS = 6
LATE_MS = 1000.0
GOAL = 25_000


async def throughput(mesh: Mesh, client: httpx2.AsyncClient, upstream: UpstreamProcess) -> list[Row]:
    """Steps of more and more streams over both gateways; the step in which tokens are late is the last."""
    threads: list[str] = []
    rows, best = [], 0.0
    for count in STEPS:
        while len(threads) < count:
            threads += await asyncio.gather(*(mesh_module.create_thread(client) for _ in range(20)))
        console.print(f"  {count} streams")
        row, carried, p99 = await _step(mesh, client, upstream, threads[:count])
        rows.append(row)
        if p99 > LATE_MS:
            break
        best = max(best, carried)
    most = f"{best:,.0f} tokens/s" if best else f"less than {STEPS[0] * RATE:,} tokens/s"
    return [
        Row("most that came with p99 under 1 s, upstream and viewers on the same cores", most, f"{GOAL:,} tokens/s"),
        *rows,
    ]


async def _step(
    mesh: Mesh, client: httpx2.AsyncClient, upstream: UpstreamProcess, threads: list[str]
) -> tuple[Row, float, float]:
    """The row, tokens/s and p99 (ms) while all streams run."""
    count = len(threads)
    tokens = RATE * (count // STARTS + TOGETHER_SECONDS)
    pids = {name: part["pid"] for name, part in mesh.ps().items()} | {"upstream": upstream.pid, "bench": os.getpid()}
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    began = time.monotonic()

    async def one(number: int) -> Viewer:
        await asyncio.sleep(number / STARTS)
        accepted = await mesh_module.send(client, threads[number], f"tokens={tokens} rate={RATE} stamp")
        viewer = await attach(f"{mesh.urls[number % len(mesh.urls)]}/v1/runs/{accepted['run_id']}/events", mesh.token())
        await asyncio.wait_for(viewer.ended, tokens / RATE + 60)
        viewer.close()
        return viewer

    viewers = await asyncio.gather(*(one(number) for number in range(count)))
    took = time.monotonic() - began
    cores = sum(cpu_seconds(pid) - used[name] for name, pid in pids.items()) / took
    arrived = [list(viewer.arrivals()) for viewer in viewers]
    # As the schedule has it, not as it came: tokens that are late belong to their second all the same.
    all_run = max(one[0][1] - one[0][2] for one in arrived) + 1_000_000_000
    one_ends = min(one[-1][1] - one[-1][2] for one in arrived)
    late = [ago / 1e6 for when, ago in _times(arrived) if all_run < when - ago < one_ends]
    in_time = sum(all_run < when < one_ends for when, _ in _times(arrived))
    seen = sum(len(one) for one in arrived)
    different = sum(len({index for index, _, _ in one}) for one in arrived)
    carried = in_time / (one_ends - all_run) * 1e9 if one_ends > all_run else 0.0
    p50, p99 = (quantile(late, q) if late else 0.0 for q in (0.5, 0.99))
    figure = (
        f"{carried:,.0f} tokens/s, p50 {p50:,.1f}, p99 {p99:,.1f} ms, lost {tokens * count - different}, doubled"
        f" {seen - different} of {tokens * count:,}; {cores:.2f} cores in use"
    )
    return Row(f"{count} streams × {RATE}/s", figure, "0 lost, 0 doubled"), carried, p99


def _times(arrived: list[list[tuple[int, int, int]]]) -> Iterator[tuple[int, int]]:
    for one in arrived:
        for _, when, ago in one:
            yield when, ago
