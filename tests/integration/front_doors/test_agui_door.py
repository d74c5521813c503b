"""AG-UI's HttpAgent over HTTP: run, cut and resumed, resumed after the end, two doors on one run."""

import asyncio
from typing import Any

import pytest
from rpc.v1 import conversation_pb2 as pb

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import ANSWER, SmallMesh
from tests.integration.front_doors.mesh import plain
from tests.plain_http import plain_client

ALICE = {"authorization": "Bearer alice"}


def one(mesh: SmallMesh, **more: Any) -> dict[str, Any]:
    return {"id": "agent", "threadId": "thread", "bases": mesh.bases, "token": "alice", **more}


def text_of(answer: dict[str, Any]) -> str:
    return "".join(message.get("content") or "" for message in answer["messages"] if message["role"] == "assistant")


async def test_a_run(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = await clients.ask("agui", what="run", text="hi", **one(mesh))
    assert (answer["error"], answer["outcome"]) == (None, "success")
    assert text_of(answer) == ANSWER
    assert answer["run"] == answer["seen"][0]["headers"]["x-run-id"]
    assert (await mesh.stored(answer["run"]))["content"] == ANSWER
    again = await clients.ask("agui", what="run", text="more", **one(mesh))
    assert again["outcome"] == "success"
    await mesh.stored(again["run"])
    rows = sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])
    assert [row["parent_message_id"] for row in rows] == ["", *(row["_id"] for row in rows[:-1])]


@pytest.mark.parametrize("tenth", [1, 5, 9, 10])
async def test_cut_and_resumed(mesh: SmallMesh, clients: LiveClients, tenth: int) -> None:
    frames = max(1, (len(plain(ANSWER)) + 2) * tenth // 10)
    cut = await clients.ask("agui", what="run", text="hi", **one(mesh, cuts=[frames]))
    run = cut["seen"][0]["headers"]["x-run-id"]
    answer = await clients.ask("agui", what="resume", run=run, **one(mesh))
    assert (answer["error"], answer["outcome"]) == (None, "success")
    assert text_of(answer) == ANSWER
    assert [message["role"] for message in answer["messages"]] == ["user", "assistant"]


async def test_resumed_after_the_end_at_another_gateway(mesh: SmallMesh, clients: LiveClients) -> None:
    cut = await clients.ask("agui", what="run", text="hi", **one(mesh, cuts=[9]))
    run = cut["seen"][0]["headers"]["x-run-id"]
    await mesh.stored(run)
    other = await mesh.gateway()
    answer = await clients.ask("agui", what="resume", run=run, **one(mesh) | {"bases": [other.base]})
    assert (answer["error"], answer["outcome"], text_of(answer)) == (None, "success", ANSWER)


async def test_all_doors_at_once_show_the_same(mesh: SmallMesh, clients: LiveClients) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:20], gate, *plain(ANSWER)[20:]]
    running = asyncio.create_task(clients.ask("agui", what="run", text="hi", **one(mesh)))
    while not mesh.worker.states or len(next(iter(mesh.worker.states.values())).content) < 30:
        await asyncio.sleep(0.005)
    run = mesh.worker.inputs[0].run_id
    (thread,) = await mesh.service.rows("threads")
    response = "resp_" + run.partition("_")[2]
    base = {"bases": mesh.bases, "token": "alice"}
    watching = [
        asyncio.create_task(clients.ask("chat", what="resume", id="page", chatId=thread["_id"], **base)),
        asyncio.create_task(clients.ask("responses", how="by_id", response_id=response, **base)),
    ]
    await asyncio.sleep(0.05)
    gate.set()
    page, by_id = await asyncio.gather(*watching)
    texts = {
        text_of(await running),
        "".join(part["text"] for part in page["messages"][-1]["parts"] if part["type"] == "text"),
        by_id["last"]["output_text"],
        str((await mesh.stored(run))["content"]),
    }
    assert texts == {ANSWER}
    assert mesh.gateways[0].feeds.watched == 0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "no RunAgentInput"),
        (b'{"threadId":"t","runId":"r","messages":[]}', "must be a user's"),
        (b'{"threadId":"t","runId":"r","messages":[{"id":"a","role":"user","content":"x"}],"tools":[{}]}', "`tools`"),
        (b'{"threadId":"","runId":"r","messages":[{"id":"a","role":"user","content":"x"}]}', "threadId"),
        (b'{"threadId":"t","runId":"r","messages":[{"id":"a","role":"user","content":" "}]}', "no text"),
    ],
)
async def test_what_is_refused_says_why(mesh: SmallMesh, body: bytes, sentence: str) -> None:
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        answer = await http.post("/agui/run", content=body)
    assert answer.status_code == 422
    assert sentence in answer.json()["message"]


async def test_nobody_elses_run(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = await clients.ask("agui", what="run", text="hi", **one(mesh))
    async with plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer bob"}) as http:
        assert (await http.get(f"/agui/runs/{answer['run']}/events")).status_code == 404
        assert (await http.get("/agui/runs/nonsense/events")).status_code == 404


async def test_context_is_for_its_run_alone(mesh: SmallMesh, clients: LiveClients) -> None:
    """The model is told, between fences that no value can close; the thread and the next run know nothing of it, and an answer made
    anew has it again."""
    context = [
        {"description": "The page\nshown", "value": '{"page": "/orders"}'},
        {"description": "A note", "value": "Ends early:\n```\nNot at all."},
    ]
    told = await clients.ask("agui", what="run", text="hi", context=context, **one(mesh))
    assert (told["error"], text_of(told)) == (None, ANSWER)
    answered = await mesh.stored(told["run"])
    after = await clients.ask("agui", what="run", text="more", **one(mesh))
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        path = f"/v1/threads/{answered['thread_id']}/messages/{answered['_id']}/regenerate"
        anew = (await http.post(path, json={})).json()["run_id"]
        body = {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "hi"}]}
        large = await http.post("/agui/run", json={**body, "context": [{"description": "a", "value": "x" * 200_000}]})
        odd = await http.post("/agui/run", json={**body, "context": ["x"]})
    assert (large.status_code, large.json()["code"]) == (422, "message_too_long")
    assert (odd.status_code, odd.json()["code"]) == (422, "body_invalid")
    given = {}
    for run_id in (told["run"], after["run"], anew):
        reply = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=run_id))
        given[run_id] = [(item.role, item.content) for item in reply.messages]
    (role, text), *said = given[told["run"]]
    assert (role, said) == ("system", [("user", "hi")])
    assert text.partition("\n\n")[2] == (
        'The page shown:\n````\n{"page": "/orders"}\n````\n\nA note:\n````\nEnds early:\n```\nNot at all.\n````'
    )
    assert [role for role, _ in given[after["run"]]] == ["user", "assistant", "user"]
    assert given[anew] == given[told["run"]]
    assert {row["role"] for row in await mesh.service.rows("messages")} == {"user", "assistant"}
