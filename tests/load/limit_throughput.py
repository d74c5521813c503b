"""Rows of `task bench:limits`: ever more answers at once, until tokens are later than a second."""

import asyncio
import math
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

STEPS = (100, 300, 400, 500)
RATE = 50
SECONDS = 8
ACCEPTED_A_SECOND = 20.0
"""What acceptance costs the embedded database, about 40 ms of CPU, is not what is measured: all answers are accepted first, and
wait for one moment in which they begin. So many are expected in the first step, three quarters of what was seen in the others."""
LONGEST_WAIT = 50.0
"""A provider that says nothing for a minute is given up."""
AT_ONCE = 8
LATE_MS = 1000.0
REFUSED = 503
GOAL = 25_000


async def throughput(mesh: Mesh, client: httpx2.AsyncClient, upstream: UpstreamProcess) -> list[Row]:
    """Steps of more and more streams over both gateways; the step in which tokens are late, or answers refused, is the last."""
    threads: list[str] = []
    rows, best, accepted_a_second = [], 0.0, ACCEPTED_A_SECOND
    for count in STEPS:
        while len(threads) < count:
            threads += await asyncio.gather(*(mesh_module.create_thread(client) for _ in range(20)))
        console.print(f"  {count} streams")
        wait = min(LONGEST_WAIT, 4 + count / accepted_a_second)
        row, carried, p99, accepted_a_second = await _step(mesh, client, upstream, threads[:count], wait)
        rows.append(row)
        if p99 > LATE_MS or not carried:
            break
        best = max(best, carried)
    most = f"{best:,.0f} tokens/s" if best else f"less than {STEPS[0] * RATE:,} tokens/s"
    return [
        Row("most that came with p99 under 1 s, upstream and viewers on the same cores", most, f"{GOAL:,} tokens/s"),
        *rows,
    ]


async def _step(
    mesh: Mesh, client: httpx2.AsyncClient, upstream: UpstreamProcess, threads: list[str], wait: float
) -> tuple[Row, float, float, float]:
    """The row, tokens/s that came in time and p99 (ms) while all streams run, answers to expect a second. They begin after `wait`
    seconds."""
    count, tokens = len(threads), RATE * SECONDS
    slots = asyncio.Semaphore(AT_ONCE)
    began = accepted = time.monotonic()
    begins = began + wait

    async def one(number: int) -> Viewer | None:
        async with slots:
            content = f"tokens={tokens} rate={RATE} stamp delay={max(0.0, begins - time.monotonic()):.2f}"
            answer = await client.post(f"/v1/threads/{threads[number]}/messages", json={"content": content})
            nonlocal accepted
            accepted = time.monotonic()
            if answer.status_code == REFUSED:
                return None
            run_id = answer.json()["run_id"]
            viewer = await attach(f"{mesh.urls[number % len(mesh.urls)]}/v1/runs/{run_id}/events", mesh.token())
        await asyncio.wait_for(viewer.ended, begins - time.monotonic() + SECONDS + 60)
        viewer.close()
        return viewer

    under_way = asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.sleep(begins - time.monotonic())
    pids = {name: part["pid"] for name, part in mesh.ps().items()} | {"upstream": upstream.pid, "bench": os.getpid()}
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(SECONDS)
    cores = sum(cpu_seconds(pid) - used[name] for name, pid in pids.items()) / (time.monotonic() - begins)
    viewers = [found for found in await under_way if found is not None]
    expected = 0.75 * count / (accepted - began)
    refused, count = count - len(viewers), len(viewers)
    arrived = [list(viewer.arrivals()) for viewer in viewers]
    assert all(arrived), "an answer had no tokens"
    # As the schedule has it, not as it came: tokens that are late belong to their second all the same.
    all_run = max(one[0][1] - one[0][2] for one in arrived) + 1_000_000_000
    one_ends = min(one[-1][1] - one[-1][2] for one in arrived)
    late = [ago / 1e6 for when, ago in _times(arrived) if all_run < when - ago < one_ends]
    in_time = sum(ago < LATE_MS for ago in late)
    seen = sum(len(one) for one in arrived)
    different = sum(len({index for index, _, _ in one}) for one in arrived)
    carried = in_time / (one_ends - all_run) * 1e9 if one_ends > all_run else 0.0
    p50, p99 = (quantile(late, q) if late else 0.0 for q in (0.5, 0.99))
    figure = (
        f"{carried:,.0f} tokens/s within a second, p50 {p50:,.1f}, p99 {p99:,.1f} ms, lost {tokens * count - different}, doubled"
        f" {seen - different} of {tokens * count:,}; {cores:.2f} cores in use"
    )
    if refused:
        figure += f"; {refused} more were refused (503), as the database did not answer in time"
    if not late:
        figure += "; there was no second in which all ran"
    row = Row(f"{len(threads)} streams × {RATE}/s", figure, "0 lost, 0 doubled")
    return row, carried, math.inf if refused else p99, expected


def _times(arrived: list[list[tuple[int, int, int]]]) -> Iterator[tuple[int, int]]:
    for one in arrived:
        for _, when, ago in one:
            yield when, ago
