"""The rollout through the whole mesh: the command line, and a flag that flips while answers run."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end
from tests.sse import text_of

RUNS = 200
FLIPS = 100


@pytest.fixture
async def rollout(mesh: Mesh) -> AsyncIterator[Mesh]:
    """The mesh; afterwards everybody is on the durable path again, as the other tests expect."""
    yield mesh
    async with operator(mesh) as client:
        body = {"action": "set", "share": 100}
        response = await client.put("/v1/admin/rollout", params={"why": "the test is over"}, json=body)
    assert response.status_code == 200, response.text


def operator(mesh: Mesh, gateway: int = 0) -> httpx2.AsyncClient:
    """A client of somebody who may change and see the rollout."""
    client = mesh.client(gateway)
    client.headers["authorization"] = f"Bearer {mesh.token('operator', 'admin')}"
    return client


async def command(mesh: Mesh, *arguments: str) -> dict[str, Any]:
    result = await asyncio.to_thread(mesh.command, "rollout", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


async def path_of(mesh: Mesh, gateway: int, user: str) -> str:
    """The path that a message gets now; its answer is left to itself."""
    async with mesh.client(gateway, user) as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=1")
        await to_the_end(client, accepted["run_id"])
    path: str = accepted["path"]
    return path


async def in_force(mesh: Mesh) -> None:
    """Until every gateway decides by the newest definition: it hears of a change a moment later."""
    for gateway in (0, 1):
        async with operator(mesh, gateway) as client, asyncio.timeout(20):
            while (flag := (await client.get("/v1/admin/flags/path")).json())["in_force"] != flag["revision"]:
                await asyncio.sleep(0.02)


async def changes(mesh: Mesh) -> list[str]:
    """Why the flag was changed, the newest change first."""
    async with operator(mesh) as client:
        flag = (await client.get("/v1/admin/flags/path")).json()
    return [change["why"] for change in flag["history"]]


async def test_the_command_line_moves_every_gateway(rollout: Mesh) -> None:
    users = [f"share-{number}" for number in range(12)]
    await asyncio.gather(*(asyncio.to_thread(rollout.token, user) for user in users))
    shown = await command(rollout, "set", "50", "--why", "half of them")
    assert (shown["share"], shown["mode"]) == (50, "paused")
    await in_force(rollout)
    paths = [[await path_of(rollout, gateway, user) for user in users] for gateway in (0, 1)]
    assert paths[0] == paths[1]
    assert set(paths[0]) == {"legacy_sync", "durable_event"}

    shown = await command(rollout, "kill", "--why", "a bad day")
    assert shown["share"] == 0
    await in_force(rollout)
    assert [await path_of(rollout, gateway, users[0]) for gateway in (0, 1)] == ["legacy_sync"] * 2
    # While it is paused the guard changes nothing: the history is what was done by hand, the newest first.
    assert (await changes(rollout))[:2] == ["a bad day", "half of them"]
    resumed = await command(rollout, "resume", "--why", "a good day")
    assert resumed["mode"] == "running"
    paused = await command(rollout, "pause")
    assert paused["mode"] == "paused"

    text = await asyncio.to_thread(rollout.command, "rollout", "status")
    assert text.returncode == 0, text.stderr
    assert "durable_event" in text.stdout
    assert "first text p95" in text.stdout
    shown = await command(rollout, "status")
    assert shown["paths"]["legacy_sync"]["completed"] > 0
    assert shown["paths"]["durable_event"]["first_text_ms"]["p95"] > 0
    async with rollout.client() as client:
        assert (await client.get("/v1/admin/rollout")).status_code == 403


async def test_a_shadow_repeats_what_was_served_and_the_user_sees_nothing_of_it(rollout: Mesh) -> None:
    await command(rollout, "set", "0", "--why", "everybody is served by the old path")
    shown = await command(rollout, "shadow", "100", "--why", "and repeated by the new one")
    pairs = shown["shadows"]["pairs"]
    assert (shown["share"], shown["shadows"]["share"]) == (0, 100)
    await in_force(rollout)
    async with rollout.client(1, "shadowed") as client:
        thread = await create_thread(client)
        used = (await client.get("/v1/me/usage")).json()
        accepted = await send(client, thread, "tokens=30 rate=100")
        assert accepted["path"] == "legacy_sync"
        assert [f.json["run_id"] for f in await to_the_end(client, accepted["run_id"])][-1] == accepted["run_id"]
        answer = await stored_answer(client, thread, accepted["run_id"])
        async with operator(rollout) as admin, asyncio.timeout(20):
            while (await admin.get("/v1/admin/rollout")).json()["shadows"]["compared"] <= pairs:
                await asyncio.sleep(0.3)
        shadows = (await command(rollout, "status"))["shadows"]
        assert shadows["equal"] == shadows["compared"] == shadows["pairs"]
        assert shadows["shadow"]["cost_microusd"] == shadows["served"]["cost_microusd"] > 0
        stored = (await client.get(f"/v1/threads/{thread}/messages")).json()["items"]
        assert [message["id"] for message in stored] == [accepted["message_id"], answer["id"]]
        assert len((await client.get("/v1/threads")).json()["items"]) == 1
        assert (await client.get("/v1/me/usage")).json() != used  # the served answer, once:
        billed = json.dumps((await client.get("/v1/me/usage")).json())
        assert str(answer["cost_microusd"]) in billed
        # Until somebody wishes otherwise: a preference goes before the percentage.
        assert (await client.patch("/v1/me/preferences", json={"path": "durable_event"})).status_code == 200
        assert (await send(client, thread, "tokens=1"))["path"] == "durable_event"
    text = await asyncio.to_thread(rollout.command, "rollout", "status")
    assert "were repeated unseen by durable_event (100 % of the users now)" in text.stdout
    assert "shadowed" in text.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_flips_change_no_running_answers_path(rollout: Mesh) -> None:
    users = [f"flip-{number}" for number in range(20)]
    await asyncio.gather(*(asyncio.to_thread(rollout.token, user) for user in users))
    at_once = asyncio.Semaphore(25)
    turns = asyncio.Semaphore(0)
    begun = flips = 0

    async def flip() -> None:
        nonlocal flips
        async with operator(rollout) as client:
            while flips < FLIPS:
                await turns.acquire()
                body = {"action": "set", "share": 100 * (flips % 2)}
                response = await client.put("/v1/admin/rollout", params={"why": f"flip {flips}"}, json=body)
                assert response.status_code == 200, response.text
                flips += 1

    async def answer(number: int) -> str:
        nonlocal begun
        # A second of writing, through a dozen flips, is what matters; each token costs every process a little.
        content = f"tokens=10 rate=10 seed={number % 50}"
        async with at_once, rollout.client(number % 2, users[number % len(users)]) as client:
            thread = await create_thread(client)
            accepted = await send(client, thread, content)
            begun += 1
            if begun % (RUNS // FLIPS) == 0:
                turns.release()
            seen = [frame.json for frame in await to_the_end(client, accepted["run_id"])]
            message = await stored_answer(client, thread, accepted["run_id"])
            run = (await client.get(f"/v1/runs/{accepted['run_id']}")).json()
        assert [event["sequence"] for event in seen] == list(range(1, len(seen) + 1))
        assert accepted["path"] == seen[0]["path"] == run["path"]
        assert seen[-1]["type"] == "run.completed"
        assert message["status"] == "complete"
        assert message["content"] == text_of(seen) != ""
        assert run["attempts"] == 1
        assert message["usage"]["output_tokens"] == 10
        path: str = accepted["path"]
        return path

    flipping = asyncio.create_task(flip())
    try:
        paths = await asyncio.gather(*(answer(number) for number in range(RUNS)))
        await flipping
    finally:
        flipping.cancel()
    assert flips == FLIPS
    assert min(paths.count("legacy_sync"), paths.count("durable_event")) > RUNS // 10
