"""Rows of `task bench:limits`: one answer watched by many, and connections on which nothing happens."""

import asyncio
import os

import httpx2
from everthread.home import Home
from everthread.keys import mint

from tests import mesh as mesh_module
from tests.load.figures import Row, console, spread
from tests.load.processes import cpu_seconds, pss_mib
from tests.load.viewers import Viewer, attach
from tests.mesh import Mesh

VIEWERS = 1_000
RATE, SECONDS = 50, 9
CONNECTING_SECONDS = 15
IDLE = 5_000
QUIET_SECONDS = 10
CONNECTING_AT_ONCE = 50
KIB = 1024


async def _attached(urls_and_tokens: list[tuple[str, str]], end_marks: tuple[bytes, ...]) -> list[Viewer]:
    """A viewer for each, all of them with their first bytes."""
    slots = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def one(url: str, token: str) -> Viewer:
        async with slots:
            viewer = await attach(url, token, end_marks=end_marks)
            await asyncio.wait_for(viewer.opened, 30)
        return viewer

    return list(await asyncio.gather(*(one(url, token) for url, token in urls_and_tokens)))


async def watched(mesh: Mesh, client: httpx2.AsyncClient) -> list[Row]:
    """One answer, VIEWERS viewers at one gateway; the first second is dropped."""
    gateway, tokens = mesh.pid("gateway-1"), RATE * SECONDS
    before = pss_mib(gateway)
    thread = await mesh_module.create_thread(client)
    content = f"tokens={tokens} rate={RATE} stamp delay={CONNECTING_SECONDS}"
    run_id = (await mesh_module.send(client, thread, content))["run_id"]
    url = f"{mesh.urls[0]}/v1/runs/{run_id}/events"
    viewers = await _attached([(url, mesh.token())] * VIEWERS, (b"event: run.completed",))
    assert not any(b"text.delta" in data for viewer in viewers for _, data in viewer.pieces), "connected too late"
    grown = pss_mib(gateway) - before
    console.print(f"  {VIEWERS} viewers are connected")
    used = {name: cpu_seconds(pid) for name, pid in (("gateway", gateway), ("bench", os.getpid()))}
    await asyncio.wait_for(asyncio.gather(*(viewer.ended for viewer in viewers)), CONNECTING_SECONDS + SECONDS + 60)
    used = {name: cpu_seconds(gateway if name == "gateway" else os.getpid()) - at for name, at in used.items()}
    late, lost, doubled = [], 0, 0
    for viewer in viewers:
        viewer.close()
        arrivals = list(viewer.arrivals())
        indexes = [index for index, _, _ in arrivals]
        lost += tokens - len(set(indexes))
        doubled += len(indexes) - len(set(indexes))
        late += [ago / 1e6 for index, _, ago in arrivals if index >= RATE]
    per = {name: seconds / VIEWERS / tokens * 1e6 for name, seconds in used.items()}
    return [
        Row(
            f"one answer of {RATE} tokens/s watched by {VIEWERS:,} at one gateway, sent → seen",
            spread(late),
            "p50 ≤ 12 ms",
        ),
        Row("lost · doubled there", f"{lost} · {doubled} of {VIEWERS * tokens:,}", "0 · 0"),
        Row(
            "CPU per token and viewer there",
            f"gateway {per['gateway']:.1f} µs, who measures {per['bench']:.1f} µs",
            "–",
        ),
        Row("memory of the gateway per viewer of the same answer", f"{grown * KIB / VIEWERS:.1f} KiB", "–"),
    ]


async def idle(mesh: Mesh, client: httpx2.AsyncClient) -> list[Row]:
    """IDLE users, each with a device on the feed of one gateway, nothing happening."""
    assert (await client.get("/readyz")).status_code == 200
    key, gateway = Home(mesh.home).dev_key, mesh.pid("gateway-1")
    devices = [
        (f"{mesh.urls[0]}/v1/me/events?cursor=latest", mint(key, user=f"idle-{number}", role="user", lifetime=3600))
        for number in range(IDLE)
    ]
    # What the first ones load stays, however many follow.
    viewers = await _attached(devices[:100], ())
    before = pss_mib(gateway)
    viewers += await _attached(devices[100:], ())
    await asyncio.sleep(2)
    grown = (pss_mib(gateway) - before) * KIB / (IDLE - 100)
    console.print(f"  {IDLE} devices are connected")
    used = cpu_seconds(gateway)
    await asyncio.sleep(QUIET_SECONDS)
    used = (cpu_seconds(gateway) - used) / QUIET_SECONDS
    cut = sum(viewer.ended.done() for viewer in viewers)
    assert not cut, f"{cut} connections were lost"
    for viewer in viewers:
        viewer.close()
    await asyncio.sleep(3)
    return [
        Row(
            f"idle connections per GiB of gateway ({IDLE:,} users on the feed)",
            f"{KIB * KIB / grown:,.0f} ({grown:.1f} KiB each)",
            "≥ 80,000",
        ),
        Row("CPU of the gateway for them", f"{used * 100:.1f} % of a core", "–"),
    ]
