"""Whoever is taken out of a thread while watching: each protocol says so in its own words, and ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from contracts.ids import user_id_of
from rpc.v1 import sharing_pb2 as sh

from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.mesh import Script, plain
from tests.integration.gateway_ws.talk import talking
from tests.plain_http import plain_client

ALICE, BOB = user_id_of("test", "alice"), user_id_of("test", "bob")
GONE = "You are no longer a member of this thread."


@pytest.fixture
def held() -> asyncio.Event:
    """Set when the answer may go on."""
    return asyncio.Event()


@pytest.fixture
def script(held: asyncio.Event) -> Script:
    steps = plain("Half of it, and the rest.")
    return lambda _: [*steps[:4], held, *steps[4:]]


@asynccontextmanager
async def client_of(mesh: SmallMesh, user: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {user}"}
    async with plain_client(base_url=mesh.bases[0], headers=headers, timeout=20) as client:
        yield client


async def shared_run(mesh: SmallMesh, alice: httpx2.AsyncClient, role: str = "editor") -> tuple[str, str]:
    """A thread of Alice's that Bob is in, and an answer that waits in the middle."""
    thread = str((await alice.post("/v1/threads", json={})).json()["id"])
    sharing = mesh.service.sharing
    wanted = sh.CreateInvitationRequest(user_id=ALICE, thread_id=thread, role=role)
    token = (await sharing.CreateInvitation(wanted)).token
    await sharing.AcceptInvitation(sh.AcceptInvitationRequest(user_id=BOB, token=token))
    accepted = await alice.post(f"/v1/threads/{thread}/messages", json={"content": "hi"})
    return thread, str(accepted.json()["run_id"])


async def remove(mesh: SmallMesh, thread: str) -> None:
    request = sh.RemoveMemberRequest(user_id=ALICE, thread_id=thread, member_id=BOB)
    await mesh.service.sharing.RemoveMember(request)


async def lines_of(response: httpx2.Response, begun: Callable[[str], bool], then: Awaitable[None]) -> list[str]:
    """The data of an event stream to its end; `then` is awaited when a line says that it has begun."""
    found: list[str] = []
    waiting: Awaitable[None] | None = then
    assert response.status_code == 200
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            found.append(line.removeprefix("data: "))
            if waiting is not None and begun(line):
                await waiting
                waiting = None
    return found


ENDS: list[tuple[str, str, Callable[[str], bool], Callable[[list[Any]], bool]]] = [
    (
        "AI SDK",
        "/api/chat/{run}/stream",
        lambda line: "text-delta" in line,
        lambda data: data[-2:] == [{"type": "error", "errorText": GONE}, "[DONE]"],
    ),
    (
        "AG-UI",
        "/agui/runs/{run}/events",
        lambda line: "TEXT_MESSAGE" in line or "MESSAGES_SNAPSHOT" in line,
        lambda data: data[-1] == {"type": "RUN_ERROR", "message": GONE, "code": "thread_not_found"},
    ),
    (
        "OpenAI responses",
        "/openai/v1/responses/resp_{ulid}?stream=true",
        lambda line: "output_text.delta" in line,
        lambda data: (data[-1]["type"], data[-1]["message"]) == ("error", GONE),
    ),
    (
        "native",
        "/v1/runs/{run}/events",
        lambda line: "text.delta" in line,
        lambda data: data[-1]["reason"] == "no_member",
    ),
]


@pytest.mark.parametrize(("path", "begun", "ended"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
async def test_a_stream_ends_in_its_protocols_words(
    mesh: SmallMesh,
    held: asyncio.Event,
    path: str,
    begun: Callable[[str], bool],
    ended: Callable[[list[Any]], bool],
) -> None:
    async with client_of(mesh, "alice") as alice, client_of(mesh, "bob") as bob:
        thread, run = await shared_run(mesh, alice)
        where = path.format(run=run, ulid=run.removeprefix("run_"))
        async with asyncio.timeout(15), bob.stream("GET", where) as response:
            lines = await lines_of(response, begun, remove(mesh, thread))
        data = [line if line == "[DONE]" else json.loads(line) for line in lines]
        assert ended(data), data[-3:]
        assert (await bob.get(where)).status_code == 404
        held.set()
        await mesh.stored(run)


async def take_over(mesh: SmallMesh, run: str) -> None:
    """Bob shares the thread of his run with Alice and hands it to her; she takes him out of it."""
    (thread,) = {row["thread_id"] for row in await mesh.service.rows("runs") if row["_id"] == run}
    sharing = mesh.service.sharing
    wanted = sh.CreateInvitationRequest(user_id=BOB, thread_id=thread, role="viewer")
    token = (await sharing.CreateInvitation(wanted)).token
    await sharing.AcceptInvitation(sh.AcceptInvitationRequest(user_id=ALICE, token=token))
    await sharing.TransferThread(sh.TransferThreadRequest(user_id=BOB, thread_id=thread, member_id=ALICE))
    await remove(mesh, thread)


MODEL = "embedded:smollm2-135m"
SAID = {"id": "m1", "role": "user", "content": "hi", "parts": [{"type": "text", "text": "hi"}]}
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
RESPONSE: dict[str, Any] = {"model": MODEL, "input": "hi"}
ASKED: list[tuple[str, str, dict[str, Any], Callable[[str], bool], Callable[[list[Any]], bool]]] = [
    (
        "AI SDK",
        "/api/chat",
        {"id": "chat", "messages": [SAID]},
        lambda line: "text-delta" in line,
        lambda data: data[-2:] == [{"type": "error", "errorText": GONE}, "[DONE]"],
    ),
    (
        "AG-UI",
        "/agui/run",
        {"threadId": "thread", "runId": "r1", "messages": [SAID], "tools": [], "context": []},
        lambda line: "TEXT_MESSAGE_CONTENT" in line,
        lambda data: data[-1] == {"type": "RUN_ERROR", "message": GONE, "code": "thread_not_found"},
    ),
    (
        "OpenAI chat completions",
        "/openai/v1/chat/completions",
        CHAT | {"stream": True},
        lambda line: '"content":"' in line,
        lambda data: (data[-2]["error"]["message"], data[-1]) == (GONE, "[DONE]"),
    ),
    (
        "OpenAI responses",
        "/openai/v1/responses",
        RESPONSE | {"stream": True},
        lambda line: "output_text.delta" in line,
        lambda data: (data[-1]["type"], data[-1]["message"]) == ("error", GONE),
    ),
]


@pytest.mark.parametrize(("path", "body", "begun", "ended"), [ask[1:] for ask in ASKED], ids=[ask[0] for ask in ASKED])
async def test_the_stream_of_ones_own_question_ends_as_well(
    mesh: SmallMesh,
    held: asyncio.Event,
    path: str,
    body: dict[str, Any],
    begun: Callable[[str], bool],
    ended: Callable[[list[Any]], bool],
) -> None:
    async with client_of(mesh, "bob") as bob:
        async with asyncio.timeout(15), bob.stream("POST", path, json=body) as response:
            run = response.headers["x-run-id"]
            lines = await lines_of(response, begun, take_over(mesh, run))
        data = [line if line == "[DONE]" else json.loads(line) for line in lines]
        assert ended(data), data[-3:]
        assert (await bob.get(f"/v1/runs/{run}")).status_code == 404
    held.set()
    # Who asked is gone; the answer is there for who stayed.
    assert (await mesh.stored(run))["status"] == "complete"


@pytest.mark.parametrize(("path", "body"), [("chat/completions", CHAT), ("responses", RESPONSE)])
async def test_an_answer_that_is_waited_for_as_a_whole_is_refused(
    mesh: SmallMesh, held: asyncio.Event, path: str, body: dict[str, Any]
) -> None:
    async with client_of(mesh, "bob") as bob:
        waiting = asyncio.create_task(bob.post(f"/openai/v1/{path}", json=body))
        async with asyncio.timeout(15):
            while not (runs := await mesh.service.rows("runs")):
                await asyncio.sleep(0.02)
            await take_over(mesh, runs[0]["_id"])
            answer = await waiting
        assert answer.status_code == 404
        held.set()
        await mesh.stored(runs[0]["_id"])


@pytest.mark.parametrize(
    "path",
    [
        "/streams/runs/{run}?offset=-1&live=sse",
        "/streams/runs/{run}?offset=now&live=sse",
        "/v1/runs/{run}/replay?speed=0.1",
        "/v1/threads/{thread}/events",
        "/v1/threads/{thread}/events?only=presence",
    ],
)
async def test_a_stream_that_nothing_comes_on_ends_too(mesh: SmallMesh, held: asyncio.Event, path: str) -> None:
    async with client_of(mesh, "alice") as alice, client_of(mesh, "bob") as bob:
        thread, run = await shared_run(mesh, alice)
        where = path.format(run=run, thread=thread)
        async with asyncio.timeout(15), bob.stream("GET", where) as response:
            assert response.status_code == 200
            await remove(mesh, thread)
            async for _ in response.aiter_lines():
                pass
        assert (await bob.get(where)).status_code == 404
        held.set()
        await mesh.stored(run)


async def test_an_answer_that_is_waited_for_is_refused(mesh: SmallMesh, held: asyncio.Event) -> None:
    async with client_of(mesh, "alice") as alice, client_of(mesh, "bob") as bob:
        thread, run = await shared_run(mesh, alice)
        poll = asyncio.create_task(bob.get(f"/streams/runs/{run}?offset=now&live=long-poll"))
        await asyncio.sleep(0)
        async with talking(mesh.bases[0], "bob") as talk:
            assert (await talk.ask("subscribe", "one", run=run))["type"] == "subscribed"
            assert (await talk.ask("subscribe", "all", thread=thread))["type"] == "subscribed"
            await remove(mesh, thread)
            errors: dict[str, str] = {}
            async with asyncio.timeout(15):
                while set(errors) != {"one", "all"}:
                    message = await talk.hear()
                    if message["type"] == "error":
                        errors[message["id"]] = message["code"]
            assert errors == {"one": "thread_not_found", "all": "thread_not_found"}
            refused = await talk.ask("send", "call", thread=thread, content="hi")
            assert (refused["type"], refused["code"]) == ("error", "thread_not_found")
        assert (await asyncio.wait_for(poll, 15)).status_code == 404
        held.set()
        await mesh.stored(run)


async def test_a_viewers_commands_are_refused_at_every_door(mesh: SmallMesh, held: asyncio.Event) -> None:
    async with client_of(mesh, "alice") as alice, client_of(mesh, "bob") as bob:
        thread, run = await shared_run(mesh, alice, role="viewer")
        message = {"id": "m1", "role": "user", "content": "hi", "parts": [{"type": "text", "text": "hi"}]}
        agui = {"threadId": thread, "runId": "r1", "messages": [message], "tools": [], "context": []}
        calls = [
            await bob.post(f"/v1/threads/{thread}/messages", json={"content": "hi"}),
            await bob.post(f"/v1/runs/{run}/cancel"),
            await bob.post("/api/chat", json={"id": thread, "messages": [message]}),
            await bob.post(f"/api/chat/{run}/stop"),
            await bob.post("/agui/run", json=agui),
            await bob.post(f"/openai/v1/responses/resp_{run.removeprefix('run_')}/cancel"),
            await bob.post(f"/v1/runs/{run}/input", json={"value": 1}),
            await bob.post(f"/v1/runs/{run}/approve", json={"approved": True}),
            await bob.post(f"/v1/runs/{run}/steer", json={"content": "hi"}),
            await bob.patch(f"/v1/threads/{thread}", json={"title": "Mine"}),
            await bob.delete(f"/v1/threads/{thread}"),
        ]
        assert [call.status_code for call in calls] == [403] * len(calls), [call.text for call in calls]
        async with talking(mesh.bases[0], "bob") as talk:
            assert (await talk.ask("subscribe", "one", run=run))["type"] == "subscribed"
            for kind, fields in (("send", {"thread": thread, "content": "hi"}), ("cancel", {"run": run})):
                refused = await talk.ask(kind, kind, **fields)
                assert (refused["type"], refused["code"]) == ("error", "forbidden")
        held.set()
        await mesh.stored(run)
