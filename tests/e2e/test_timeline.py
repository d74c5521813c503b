"""Where one answer spent its time: by HTTP and in the terminal."""

import asyncio
import json
import signal
import time
from typing import Any

import httpx2

from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end, writing


async def stored_timeline(client: httpx2.AsyncClient, run_id: str, within: float = 15) -> dict[str, Any]:
    """The timeline once the database has the answer: until then the stored view shows it from the log, so that an answer seen
    as complete may be written a moment later."""
    deadline = time.monotonic() + within
    while True:
        response = await client.get(f"/v1/runs/{run_id}/timeline")
        assert response.status_code == 200, response.text
        timeline: dict[str, Any] = response.json()
        if "stored" in {phase["name"] for phase in timeline["phases"]} or time.monotonic() > deadline:
            return timeline
        await asyncio.sleep(0.1)


async def test_a_timeline_names_every_phase_of_an_answer(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=20 rate=100 delay=0.4")
        await to_the_end(client, accepted["run_id"])
        await stored_answer(client, thread, accepted["run_id"])
        timeline = await stored_timeline(client, accepted["run_id"])
    phases = {phase["name"]: phase for phase in timeline["phases"]}
    assert list(phases) == ["accepted", "published", "claimed", "asked", "first_token", "shown", "ended", "stored"]
    assert [phase["offset_ms"] for phase in timeline["phases"]] == sorted(p["offset_ms"] for p in timeline["phases"])
    assert phases["first_token"]["took_ms"] >= 300, "the upstream's delay is between asking and the first text"
    assert (timeline["status"], timeline["path"], timeline["whole"]) == ("complete", "durable_event", True)
    (step,) = timeline["steps"]
    assert (step["outcome"], step["finish_reason"]) == ("finished", "stop")
    shown = await asyncio.to_thread(mesh.command, "trace", accepted["run_id"])
    assert shown.returncode == 0, shown.stderr
    assert "the model is asked" in shown.stdout
    assert "step 1 (model)" in shown.stdout
    as_json = await asyncio.to_thread(mesh.command, "trace", accepted["run_id"], "--json")
    assert json.loads(as_json.stdout) == timeline


async def test_a_takeover_is_seen_and_strangers_see_nothing(mesh: Mesh) -> None:
    async with mesh.client() as client, mesh.client(user="stranger") as stranger:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=200 rate=50")
        victim = await writing(mesh, client, accepted["run_id"])
        killed = {victim: mesh.signal(victim, signal.SIGKILL)}
        await stored_answer(client, thread, accepted["run_id"])
        timeline = (await client.get(f"/v1/runs/{accepted['run_id']}/timeline")).json()
        refused = await stranger.get(f"/v1/runs/{accepted['run_id']}/timeline")
    await mesh.wait_ready(changed=killed)
    assert [span["attempt"] for span in timeline["attempts"]] == [1, 2]
    assert [step["outcome"] for step in timeline["steps"]] == ["interrupted", "finished"]
    assert refused.status_code == 404
    shown = await asyncio.to_thread(mesh.command, "trace", accepted["run_id"], "--user", "stranger")
    assert shown.returncode != 0
    assert "--user" in shown.stderr
