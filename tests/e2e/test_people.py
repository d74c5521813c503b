"""Three people in one thread of the whole mesh: what each may do, who is there, what ends when a role is taken away, and that a
deleted thread leaves nothing."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bus.jetstream import connect as connect_bus
from contracts import topology
from everthread.home import Home
from everthread.reach import of_mesh
from everthread.state import read_state
from store.database import connect as connect_database

from tests import mesh as mesh_module
from tests.e2e.conftest import MODELS
from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end, watching
from tests.sse import Frame
from tests.upstream import UpstreamProcess

CANARY = "canary-3e81b5d2"


@pytest.fixture(scope="module")
def own_mesh(tmp_path_factory: pytest.TempPathFactory, upstream: UpstreamProcess) -> Iterator[Mesh]:
    """A mesh with short lives: presence of five seconds, and the second pass of a deletion after one."""
    home: Path = tmp_path_factory.mktemp("people")
    models = home / "models.toml"
    models.write_text(MODELS, "utf-8")
    mesh = mesh_module.start(
        home,
        scale="gateway=2",
        gateways=2,
        environment={
            "OPENAI_BASE_URL": upstream.base_url,
            "OPENAI_API_KEY": "sk-canary-0123456789",
            "EVERTHREAD_MODELS_FILE": str(models),
            "EVERTHREAD_PRESENCE_SECONDS": "5",
            "EVERTHREAD_DELETION_SETTLE_SECONDS": "1",
        },
    )
    try:
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
async def people(own_mesh: Mesh) -> AsyncIterator[dict[str, httpx2.AsyncClient]]:
    """Clients of everybody; the editor is at the second gateway."""
    await own_mesh.wait_ready()
    clients = {
        "owner": own_mesh.client(user="olga"),
        "editor": own_mesh.client(1, user="edda"),
        "viewer": own_mesh.client(user="vera"),
        "stranger": own_mesh.client(1, user="mallory"),
    }
    yield clients
    for client in clients.values():
        await client.aclose()


async def me(client: httpx2.AsyncClient) -> str:
    user_id: str = (await client.get("/v1/me")).json()["id"]
    return user_id


async def shared(people: dict[str, httpx2.AsyncClient], title: str = "Ours") -> str:
    """A thread of the owner's with an editor and a viewer, who came in by links."""
    thread = await create_thread(people["owner"], title=title)
    for role in ("editor", "viewer"):
        made = await people["owner"].post(f"/v1/threads/{thread}/invitations", json={"role": role})
        assert made.status_code == 201, made.text
        joined = await people[role].post("/v1/invitations/accept", json={"token": made.json()["token"]})
        assert (joined.status_code, joined.json()["role"]) == (200, role), joined.text
    return thread


class Watcher:
    """Somebody who watches an event stream: what came so far."""

    def __init__(self, client: httpx2.AsyncClient, path: str) -> None:
        self.seen: list[Frame] = []
        self.attached = asyncio.Event()
        self.task = asyncio.create_task(self._watch(client, path))

    async def _watch(self, client: httpx2.AsyncClient, path: str) -> None:
        async with watching(client, path) as stream:
            self.attached.set()
            async for frame in stream:
                self.seen.append(frame)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [frame.json for frame in self.seen if frame.event == kind]

    async def until(self, what: str, holds: Any) -> None:
        """Wait for something that the frames say."""
        async with asyncio.timeout(15):
            while not holds():
                assert not self.task.done() or holds(), (what, self.seen[-3:])
                await asyncio.sleep(0.02)


@asynccontextmanager
async def watchers(*asked: tuple[httpx2.AsyncClient, str]) -> AsyncIterator[list[Watcher]]:
    found = [Watcher(client, path) for client, path in asked]
    try:
        for watcher in found:
            await asyncio.wait_for(watcher.attached.wait(), 15)
        yield found
    finally:
        for watcher in found:
            watcher.task.cancel()
        await asyncio.gather(*(watcher.task for watcher in found), return_exceptions=True)


async def test_three_people_watch_one_answer_and_each_may_do_what_the_role_says(
    people: dict[str, httpx2.AsyncClient],
) -> None:
    owner, editor, viewer, stranger = (people[name] for name in ("owner", "editor", "viewer", "stranger"))
    thread = await shared(people)
    refused = await viewer.post(f"/v1/threads/{thread}/messages", json={"content": "me too"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "watch" in refused.json()["detail"]
    assert (await stranger.get(f"/v1/threads/{thread}")).status_code == 404
    accepted = await send(editor, thread, "tokens=400 rate=100")
    run = accepted["run_id"]
    path = f"/v1/runs/{run}/events"
    async with watchers((owner, path), (editor, path), (viewer, path)) as everybody:
        for watcher in everybody:
            await watcher.until("text", lambda watcher=watcher: len(watcher.events("text.delta")) > 3)
        for command in ("cancel",):
            denied = await viewer.post(f"/v1/runs/{run}/{command}")
            assert (denied.status_code, denied.json()["code"]) == (403, "forbidden")
            assert (await stranger.post(f"/v1/runs/{run}/{command}")).status_code == 404
        chat = {"id": thread, "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]}
        at_the_door = await viewer.post("/api/chat", json=chat)
        assert (at_the_door.status_code, "watch" in at_the_door.text) == (403, True)
        assert (await stranger.get(f"/api/chat/{run}/stream")).status_code == 404
        assert (await viewer.get(f"/openai/v1/responses/resp_{run.removeprefix('run_')}")).status_code == 200
        assert (await owner.post(f"/v1/runs/{run}/cancel")).status_code == 202
        for watcher in everybody:
            await asyncio.wait_for(watcher.task, 15)
            assert watcher.events("run.cancelled")[0]["by"] == await me(owner)
        texts = [[event["delta"] for event in watcher.events("text.delta")] for watcher in everybody]
        assert "".join(texts[0]) == "".join(texts[1]) == "".join(texts[2])
    answer = await stored_answer(viewer, thread, run)
    listed = (await viewer.get(f"/v1/threads/{thread}/messages")).json()["items"]
    assert (listed[0]["author"], answer["cancelled_by"]) == (await me(editor), await me(owner))
    assert (await viewer.get(f"/v1/runs/{run}")).json()["cancelled_by"] == await me(owner)
    mine = (await viewer.get("/v1/threads")).json()["items"]
    assert [(item["id"], item["role"], item["members"]) for item in mine if item["id"] == thread] == [
        (thread, "viewer", 3)
    ]
    assert (await viewer.delete(f"/v1/threads/{thread}")).status_code == 403
    exported = await viewer.get(f"/v1/threads/{thread}/export?format=json")
    document = exported.json()
    assert [message["role"] for message in document["messages"]] == ["user", "assistant"]
    assert [event["type"] for event in document["runs"][0]["events"]][-1] == "run.cancelled"
    text = (await viewer.get(f"/v1/threads/{thread}/export")).text
    assert text.startswith("# Ours\n")
    assert answer["content"] in text


async def test_a_role_taken_away_ends_every_open_stream(people: dict[str, httpx2.AsyncClient]) -> None:
    owner, editor = people["owner"], people["editor"]
    thread = await shared(people)
    accepted = await send(editor, thread, "tokens=2000 rate=50")
    run, user_id = accepted["run_id"], await me(editor)
    chat_ended = asyncio.create_task(_chat(editor, run))
    async with watchers(
        (editor, f"/v1/threads/{thread}/events"),
        (editor, f"/v1/runs/{run}/events"),
        (owner, f"/v1/runs/{run}/events"),
    ) as (at_thread, at_run, of_owner):
        for watcher in (at_thread, at_run, of_owner):
            await watcher.until("text", lambda watcher=watcher: len(watcher.events("text.delta")) > 3)
        assert (await owner.delete(f"/v1/threads/{thread}/members/{user_id}")).status_code == 204
        for watcher in (at_thread, at_run):
            await asyncio.wait_for(watcher.task, 10)
            assert watcher.seen[-1].event == "end"
            assert watcher.seen[-1].json["reason"] == "no_member"
        frames = await asyncio.wait_for(chat_ended, 10)
        assert frames[-2:] == ['{"type":"error","errorText":"You are no longer a member of this thread."}', "[DONE]"]
        assert not of_owner.task.done()
    for path in (f"/v1/threads/{thread}/events", f"/v1/runs/{run}/events", f"/v1/runs/{run}", f"/v1/threads/{thread}"):
        assert (await editor.get(path)).status_code == 404
    assert (await owner.post(f"/v1/runs/{run}/cancel")).status_code == 202


async def _chat(client: httpx2.AsyncClient, run: str) -> list[str]:
    found: list[str] = []
    async with client.stream("GET", f"/api/chat/{run}/stream") as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                found.append(line.removeprefix("data: "))
    return found


async def test_who_is_there_is_known_at_every_gateway_and_forgotten_when_one_is_killed(
    own_mesh: Mesh, people: dict[str, httpx2.AsyncClient]
) -> None:
    owner, editor, viewer = people["owner"], people["editor"], people["viewer"]
    thread = await shared(people)
    ids = {name: await me(people[name]) for name in ("owner", "editor", "viewer")}
    path = f"/v1/threads/{thread}/events"

    def there(watcher: Watcher) -> dict[str, tuple[int, bool]]:
        heard = watcher.events("presence")
        items = heard[-1]["items"] if heard else []
        return {item["user_id"]: (item["connections"], item["typing"]) for item in items}

    only = f"{path}?only=presence"
    async with watchers((owner, only), (viewer, path), (viewer, only)) as (of_owner, _, _):
        async with watchers((editor, path)) as (of_editor,):
            wanted = {ids["owner"]: (1, False), ids["viewer"]: (2, False), ids["editor"]: (1, False)}
            for watcher in (of_owner, of_editor):
                await watcher.until("all three", lambda watcher=watcher: there(watcher) == wanted)
            assert all(frame.id == "" for frame in of_owner.seen if frame.event == "presence")
            asked = (await viewer.get(f"/v1/threads/{thread}/presence")).json()["items"]
            assert {item["user_id"]: item["connections"] for item in asked} == {
                ids["owner"]: 1,
                ids["viewer"]: 2,
                ids["editor"]: 1,
            }
            assert (await viewer.post(f"/v1/threads/{thread}/typing")).status_code == 403
            assert (await editor.post(f"/v1/threads/{thread}/typing")).status_code == 204
            await of_owner.until("typing", lambda: there(of_owner).get(ids["editor"]) == (1, True))
            pid = own_mesh.signal("gateway-2", signal.SIGKILL)
            left = {ids["owner"]: (1, False), ids["viewer"]: (2, False)}
            await of_owner.until("gone", lambda: there(of_owner) == left)
        await own_mesh.wait_ready(changed={"gateway-2": pid})
    asked_again = (await people["stranger"].get(f"/v1/threads/{thread}/presence")).status_code
    assert asked_again == 404


async def test_a_link_that_is_used_up_or_taken_back_is_gone(people: dict[str, httpx2.AsyncClient]) -> None:
    owner, stranger = people["owner"], people["stranger"]
    thread = await shared(people)
    path = f"/v1/threads/{thread}/invitations"
    made = (await owner.post(path, json={"role": "viewer"})).json()
    assert (await owner.delete(f"{path}/{made['id']}")).status_code == 204
    gone = await stranger.post("/v1/invitations/accept", json={"token": made["token"]})
    assert (gone.status_code, gone.json()["code"]) == (410, "invitation_invalid")
    told = await stranger.post("/v1/invitations/preview", json={"token": made["token"]})
    assert (told.status_code, told.json()["detail"]) == (410, "This invitation was taken back. Ask for a new one.")
    used = (await owner.post(path, json={"role": "viewer"})).json()
    seen = (await stranger.post("/v1/invitations/preview", json={"token": used["token"]})).json()
    known = (await owner.get(f"/v1/threads/{thread}")).json()
    assert seen == {
        "title": known["title"],
        "invited_by": known["owner_id"],
        "role": "viewer",
        "expires_at": used["expires_at"],
        "own_role": None,
    }
    mine = await owner.post("/v1/invitations/accept", json={"token": used["token"]})
    assert (mine.status_code, mine.json()["code"]) == (410, "invitation_invalid")
    assert (await stranger.post("/v1/invitations/accept", json={"token": used["token"]})).status_code == 200
    late = await people["viewer"].post("/v1/invitations/accept", json={"token": used["token"]})
    assert late.json()["role"] == "viewer"
    unknown = await owner.post(path, json={"role": "admin"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "body_invalid")
    left = await stranger.delete(f"/v1/threads/{thread}/members/me")
    assert left.status_code == 204
    assert (await stranger.get(f"/v1/threads/{thread}")).status_code == 404
    again = await stranger.post("/v1/invitations/accept", json={"token": used["token"]})
    assert again.status_code == 410


async def test_a_thread_handed_over_is_the_others_at_once(people: dict[str, httpx2.AsyncClient]) -> None:
    owner, editor, viewer, stranger = (people[name] for name in ("owner", "editor", "viewer", "stranger"))
    thread = await shared(people)
    path = f"/v1/threads/{thread}/members"
    users = {name: await me(client) for name, client in people.items()}
    for client, member, status, code in (
        (owner, users["stranger"], 404, "not_found"),
        (owner, "me", 422, "body_invalid"),
        (editor, users["viewer"], 403, "forbidden"),
        (stranger, users["viewer"], 404, "thread_not_found"),
    ):
        refused = await client.post(f"{path}/{member}/transfer")
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    async with watchers((owner, f"/v1/threads/{thread}/events"), (editor, "/v1/me/events")) as (at_thread, feed):
        for _ in range(2):
            done = await owner.post(f"{path}/{users['editor']}/transfer")
            assert (done.status_code, done.json()["role"]) == (200, "owner"), done.text
        await feed.until("told", lambda: len(feed.events("thread.member_changed")) == 2)
        told = {
            (event["changes"]["member_id"], event["changes"]["role"]) for event in feed.events("thread.member_changed")
        }
        assert told == {(users["editor"], "owner"), (users["owner"], "editor")}
        # Who was the owner goes on watching and writing, and may not do more.
        await send(owner, thread, "tokens=3")
        await at_thread.until("text", lambda: bool(at_thread.events("text.delta")))
    assert [item["role"] for item in (await viewer.get(path)).json()["items"]] == ["owner", "editor", "viewer"]
    assert (await owner.delete(f"/v1/threads/{thread}")).status_code == 403
    assert (await editor.delete(f"/v1/threads/{thread}")).status_code == 204
    gone = await editor.post(f"{path}/{users['owner']}/transfer")
    assert (gone.status_code, gone.json()["code"]) == (404, "thread_not_found")


async def test_a_deleted_thread_leaves_nothing_in_any_store(
    own_mesh: Mesh, people: dict[str, httpx2.AsyncClient]
) -> None:
    owner, editor, viewer = people["owner"], people["editor"], people["viewer"]
    thread = await shared(people, title=f"About {CANARY}")
    path = f"/v1/threads/{thread}"
    for content in (f"Remember {CANARY}.", "echo"):
        done = await send(editor, thread, content, model="openai:gpt-4o-mini")
        await to_the_end(owner, done["run_id"])
    assert CANARY in (await stored_answer(owner, thread, done["run_id"]))["content"]
    await editor.delete(f"{path}/members/me")
    running = await send(owner, thread, "tokens=4000 rate=20")
    async with watchers((viewer, f"{path}/events")) as (of_viewer,):
        await of_viewer.until("text", lambda: len(of_viewer.events("text.delta")) > 3)
        assert CANARY in await _everything(own_mesh)
        assert (await owner.delete(path)).status_code == 204
        await asyncio.wait_for(of_viewer.task, 10)
        assert of_viewer.seen[-1].json["reason"] == "thread_deleted"
    assert (await owner.get(f"/v1/runs/{running['run_id']}")).status_code == 404
    left = ""
    async with asyncio.timeout(30):
        while True:
            left = await _everything(own_mesh)
            lines = [line for line in left.splitlines() if thread in line and "thread.deleted" not in line]
            if CANARY not in left and not [line for line in lines if not line.startswith("ledger:")]:
                break
            await asyncio.sleep(0.3)
    assert "deletions:" not in left


async def _everything(mesh: Mesh) -> str:
    """All that MongoDB and the broker hold, as text, a document or an entry a line."""
    home = Home(mesh.home)
    state = read_state(home.state)
    assert state is not None
    reach = of_mesh(home, state)
    found: list[str] = []
    database = await connect_database(reach.mongodb_uri, application="test")
    bus = await connect_bus(reach.nats_url, instance="test")
    try:
        for name in await database.collection("threads").database.list_collection_names():
            found += [f"{name}: {row}" for row in await database.collection(name).find().to_list()]
        for stream in topology.STREAMS:
            for subject in stream.subjects:
                found += [
                    f"{stream.name}: {entry.subject} {entry.data!r}"
                    async for entry in bus.read_stream(stream.name, subject)
                ]
    finally:
        await bus.drain()
        await database.close()
    return "\n".join(found)
