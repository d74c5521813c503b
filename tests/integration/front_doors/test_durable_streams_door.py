"""`@durable-streams/client` against running gateways."""

import asyncio
from typing import Any

import pytest

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import ANSWER, SmallMesh
from tests.integration.front_doors.mesh import plain
from tests.plain_http import plain_client

ALICE = {"authorization": "Bearer alice"}


async def begun(mesh: SmallMesh) -> str:
    """A run of alice's."""
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as client:
        thread = (await client.post("/v1/threads", json={})).json()["id"]
        return str((await client.post(f"/v1/threads/{thread}/messages", json={"content": "hi"})).json()["run_id"])


async def logged(mesh: SmallMesh, run_id: str) -> list[Any]:
    """The whole log of a run that has ended."""
    await mesh.stored(run_id)
    async with plain_client(base_url=mesh.bases[-1], headers=ALICE) as client:
        return list((await client.get(f"/v1/runs/{run_id}/log")).json()["items"])


@pytest.mark.parametrize("live", ["long-poll", "sse"])
async def test_a_run_is_followed_to_its_end(mesh: SmallMesh, clients: LiveClients, live: str) -> None:
    run_id = await begun(mesh)
    seen = await clients.ask("durable", run=run_id, live=live, bases=mesh.bases, token="alice")
    assert seen["closed"]
    assert seen["events"] == await logged(mesh, run_id)
    again = await clients.ask("durable", run=run_id, live=False, bases=mesh.bases, token="alice")
    assert (again["events"], again["closed"]) == (seen["events"], True)


async def test_cut_at_every_tenth_and_gone_on_with_at_another_gateway(mesh: SmallMesh, clients: LiveClients) -> None:
    await mesh.gateway()
    run_id = await begun(mesh)
    whole = await logged(mesh, run_id)
    shown = await asyncio.gather(
        *[
            clients.ask("durable", run=run_id, live=False, bases=mesh.bases[1:], token="alice", offset=f"l{at:010d}")
            for at in range(0, len(whole) + 1, max(1, len(whole) // 10))
        ]
    )
    for number, seen in enumerate(shown):
        assert seen["events"] == whole[number * max(1, len(whole) // 10) :]
        assert seen["closed"]


async def test_the_gateway_is_killed_and_the_client_goes_on_by_itself(mesh: SmallMesh, clients: LiveClients) -> None:
    rest = asyncio.Event()
    events = plain(ANSWER)
    mesh.worker.script = lambda _: [*events[:20], rest, *events[20:]]
    await mesh.gateway()
    run_id = await begun(mesh)
    # The client catches up first, and then stays; its third request is the one after the loss.
    bases = [mesh.bases[0], mesh.bases[0], mesh.bases[1]]
    watching = asyncio.create_task(clients.ask("durable", run=run_id, live="sse", bases=bases, token="alice"))
    async with asyncio.timeout(10):
        while not mesh.gateways[0].streams.open:
            await asyncio.sleep(0.01)
    await mesh.gateways[0].kill()
    rest.set()
    seen = await watching
    assert seen["events"] == await logged(mesh, run_id)
    assert seen["closed"]
    assert [request["url"].startswith(mesh.bases[1]) for request in seen["seen"]] == [False, False, True]


async def test_somebody_elses_run_is_not_there(mesh: SmallMesh) -> None:
    run_id = await begun(mesh)
    bob = {"authorization": "Bearer bob"}
    async with plain_client(base_url=mesh.bases[0], headers=bob) as client:
        answers = [
            await client.request(method, f"/streams/runs/{run_id}")
            for method in ("GET", "HEAD", "PUT", "POST", "DELETE")
        ]
    assert [answer.status_code for answer in answers] == [404, 404, 405, 405, 405]
    await mesh.stored(run_id)
