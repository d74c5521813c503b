"""The official clients at the doors of the real mesh: whatever is killed, cut or stopped, the text a client ends with is the
text that is stored. All doors are tried at once, since what is killed is killed for all of them."""

import asyncio
import signal
import uuid
from typing import Any

import httpx2
import pytest

from tests.clients.live import LiveClients
from tests.e2e.front_door_clients import DOORS, Shown, Visit, agui_text, chat_text, response_of_run
from tests.mesh import Mesh, messages, stored_answer, to_the_end
from tests.upstream import expected_text

MODELS = {"front-retract": "openai:gpt-4o-mini", "front-prefix": "prefix:scripted"}
"""A user for each way of going on after a lost worker; useChat and AG-UI ask for no model, so it is the user's default."""


async def _visits(
    mesh: Mesh, clients: LiveClients, script: str, *users: str, **more: Any
) -> dict[tuple[str, str], Visit]:
    """A conversation at every door for each user, each with a text of its own."""
    made: dict[tuple[str, str], Visit] = {}
    for user in users:
        async with mesh.client(1, user=user) as client:
            changed = await client.patch("/v1/me/preferences", json={"default_model": MODELS[user]})
            assert changed.status_code == 200, changed.text
        for door in DOORS:
            made[user, door] = Visit(
                clients=clients,
                token=mesh.token(user),
                model=MODELS[user],
                bases=mesh.urls,
                content=f"{script} seed={uuid.uuid4().int % 1_000_000}",
                name=str(uuid.uuid4()),
                **more,
            )
    return made


async def _ask_all(visits: dict[tuple[str, str], Visit]) -> dict[tuple[str, str], Shown]:
    shown = await asyncio.gather(*[DOORS[door](visit) for (_, door), visit in visits.items()])
    return dict(zip(visits, shown, strict=True))


async def _runs(mesh: Mesh, user: str, contents: set[str], written: int) -> dict[str, str]:
    """The runs that answer these questions, by question, once each has written so many characters."""
    async with mesh.client(1, user=user) as client, asyncio.timeout(20):
        while True:
            found: dict[str, str] = {}
            threads = (await client.get("/v1/threads", params={"limit": len(contents) + 2})).json()["items"]
            for items in await asyncio.gather(*[messages(client, thread["id"]) for thread in threads]):
                if items and items[0]["content"] in contents and len(items[-1]["content"]) >= written:
                    found[items[0]["content"]] = items[-1]["run_id"]
            if found.keys() == contents:
                return found
            await asyncio.sleep(0.3)


async def _stored(client: httpx2.AsyncClient, run_id: str) -> dict[str, Any]:
    run = (await client.get(f"/v1/runs/{run_id}")).json()
    return await stored_answer(client, run["thread_id"], run_id)


async def _check_stored(
    mesh: Mesh, visits: dict[tuple[str, str], Visit], shown: dict[tuple[str, str], Shown], connections: int
) -> None:
    """What each client shows is what its script says and what is stored, and took so many connections."""
    found = {}
    for (user, door), visit in visits.items():
        async with mesh.client(1, user=user) as client:
            stored = await _stored(client, shown[user, door].run_id)
        assert stored["content"] == expected_text(visit.content)
        assert stored["status"] == "complete"
        found[user, door] = Shown(stored["run_id"], stored["content"], connections)
    assert shown == found


async def test_a_plain_answer(mesh: Mesh, clients: LiveClients) -> None:
    visits = await _visits(mesh, clients, "tokens=40 rate=200", *MODELS)
    await _check_stored(mesh, visits, await _ask_all(visits), 1)


async def test_both_workers_are_killed_in_mid_answer(mesh: Mesh, clients: LiveClients) -> None:
    # As long a text as 600 tokens are, in less of them: each costs every process and client a little.
    visits = await _visits(mesh, clients, "tokens=150 rate=13 words=4", *MODELS)
    parts = mesh.ps()
    killed: dict[str, int] = {name: parts[name]["pid"] for name in ("inference-1", "inference-2")}
    asking = asyncio.create_task(_ask_all(visits))
    running = [
        await _runs(mesh, user, {visit.content for (whose, _), visit in visits.items() if whose == user}, 20)
        for user in MODELS
    ]
    for pid in killed.values():
        mesh.send(pid, signal.SIGKILL)
    shown = await asking
    await _check_stored(mesh, visits, shown, 1)
    assert {one.run_id for one in shown.values()} == {run for runs in running for run in runs.values()}
    attempts = {}
    for (user, door), one in shown.items():
        async with mesh.client(1, user=user) as client:
            log = await to_the_end(client, one.run_id)
        attempts[user, door] = sum(frame.event == "attempt.started" for frame in log)
    assert all(count > 1 for count in attempts.values()), attempts
    await mesh.wait_ready(changed=killed)


async def test_the_gateway_is_killed_and_the_other_goes_on(mesh: Mesh, clients: LiveClients) -> None:
    (user, *_) = MODELS
    visits = await _visits(mesh, clients, "tokens=120 rate=20", user)
    asking = asyncio.create_task(_ask_all(visits))
    await _runs(mesh, user, {visit.content for visit in visits.values()}, 100)
    killed = {"gateway-1": mesh.signal("gateway-1", signal.SIGKILL)}
    await _check_stored(mesh, visits, await asking, 2)
    await mesh.wait_ready(changed=killed)


async def test_cut_off_and_resumed_after_the_end_at_the_other_gateway(mesh: Mesh, clients: LiveClients) -> None:
    (user, *_) = MODELS
    async with mesh.client(1, user=user) as client:
        visits = await _visits(
            mesh, clients, "tokens=60 rate=40", user, cut=12, away=lambda run_id: _stored(client, run_id)
        )
        await _check_stored(mesh, visits, await _ask_all(visits), 2)


@pytest.mark.parametrize("tenths", [range(1, 10, 2), range(2, 10, 2)], ids=["odd", "even"])
async def test_cut_at_every_tenth_and_gone_on_with_at_the_other_gateway(
    mesh: Mesh, clients: LiveClients, tenths: range
) -> None:
    (user, *_) = MODELS
    visits: dict[tuple[str, str], Visit] = {}
    # An answer is some 45 frames, or fewer where tokens were joined: then the last cuts come after the end.
    for tenth in tenths:
        cut = await _visits(mesh, clients, "tokens=36 rate=16", user, cut=tenth * 4)
        visits |= {(user, f"{door} {tenth}"): visit for (_, door), visit in cut.items()}
    asking = [DOORS[name.partition(" ")[0]](visit) for (_, name), visit in visits.items()]
    shown = await asyncio.gather(*asking)
    assert [one.text for one in shown] == [expected_text(visit.content) for visit in visits.values()]
    assert sum(one.connections == 2 for one in shown) > len(shown) // 2


async def test_stopped_by_each_doors_own_means(mesh: Mesh, clients: LiveClients) -> None:
    (user, *_) = MODELS
    visits = await _visits(mesh, clients, "tokens=600 rate=15", user)
    asking = asyncio.create_task(_ask_all(visits))
    runs = await _runs(mesh, user, {visit.content for visit in visits.values()}, 50)
    async with mesh.client(1, user=user) as client:
        for (_, door), visit in visits.items():
            run_id = runs[visit.content]
            if door == "responses":
                async with visit.sdk(mesh.urls[1]) as sdk:
                    assert (await sdk.responses.cancel(response_of_run(run_id))).status == "cancelled"
            else:
                page = door in ("useChat", "workflow")
                path = f"/api/chat/{visit.name}/stop" if page else f"/v1/runs/{run_id}/cancel"
                assert (await client.post(path)).status_code == 202
        shown = await asking
        stored = {key: await _stored(client, one.run_id) for key, one in shown.items()}
    assert {key: ("cancelled", one.text) for key, one in shown.items()} == {
        key: (message["status"], message["content"]) for key, message in stored.items()
    }


async def test_viewers_at_every_door_and_both_gateways_see_the_same(mesh: Mesh, clients: LiveClients) -> None:
    (user, *_) = MODELS
    visit = (await _visits(mesh, clients, "tokens=120 rate=50", user))[user, "useChat"]
    asking = asyncio.create_task(_ask_all({(user, "useChat"): visit}))
    run_id = (await _runs(mesh, user, {visit.content}, 50))[visit.content]
    watching = []
    for base in mesh.urls:
        there = {"bases": [base], "token": visit.token}
        response = {"response_id": response_of_run(run_id)}
        watching += [
            clients.ask("chat", what="resume", id=f"page {base}", chatId=visit.name, **there),
            clients.ask("responses", how="by_id", **response, **there),
            clients.ask("agui", what="resume", id=f"agent {base}", threadId=visit.name, run=run_id, **there),
        ]
    seen = await asyncio.gather(*watching)
    texts = [shown.text for shown in (await asking).values()]
    for page, response_seen, agent in zip(seen[0::3], seen[1::3], seen[2::3], strict=True):
        texts += [chat_text(page), response_seen["last"]["output_text"], agui_text(agent)]
    async with mesh.client(1, user=user) as client:
        stored = await _stored(client, run_id)
    assert texts == [stored["content"]] * 7
    assert stored["content"] == expected_text(visit.content)
