"""useChat's own Chat with both transports, over HTTP, against gateways that run and die."""

import asyncio
from typing import Any

import pytest
from contracts import events as e

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import ANSWER, SmallMesh
from tests.integration.front_doors.mesh import plain, usage
from tests.plain_http import plain_client

ALICE = {"authorization": "Bearer alice"}


def text_of(answer: dict[str, Any]) -> str:
    message = answer["messages"][-1]
    assert message["role"] == "assistant", answer
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


async def test_send_and_stream(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = await clients.ask("chat", id="one", what="send", text="hi", bases=mesh.bases, token="alice")
    assert (answer["status"], answer["error"]) == ("ready", None)
    assert text_of(answer) == ANSWER
    run_id = answer["seen"][0]["headers"]["x-run-id"]
    stored = await mesh.stored(run_id)
    assert stored["content"] == ANSWER
    message = answer["messages"][-1]
    assert message["id"] == stored["_id"]
    assert message["metadata"]["usage"]["output_tokens"] == 5
    assert (message["metadata"]["cost_microusd"], message["metadata"]["path"]) == (11, "durable_event")
    assert answer["seen"][0]["headers"]["x-vercel-ai-ui-message-stream"] == "v1"


async def test_the_next_message_goes_on_in_the_same_thread(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    await clients.ask("chat", what="send", text="first", **one)
    answer = await clients.ask("chat", what="send", text="second", **one)
    await mesh.stored(answer["seen"][0]["headers"]["x-run-id"])
    assert [message["role"] for message in answer["messages"]] == ["user", "assistant", "user", "assistant"]
    rows = sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])
    assert [row["content"] for row in rows] == ["first", ANSWER, "second", ANSWER]
    assert [row["parent_message_id"] for row in rows] == ["", *(row["_id"] for row in rows[:-1])]
    assert len(await mesh.service.rows("threads")) == 1


@pytest.mark.parametrize("tenth", range(0, 11, 2))
async def test_cut_anywhere_and_resumed(mesh: SmallMesh, clients: LiveClients, tenth: int) -> None:
    events = plain(ANSWER)
    frames = len(events) * tenth // 10 + 1
    # The answer ends once the gateway knows of the cut: what it sent whole before that it does not owe again.
    held = asyncio.Event()
    mesh.worker.script = lambda _: [*events[:-1], held, events[-1]]
    if tenth == 10:
        held.set()
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    await clients.ask("chat", what="send", text="hi", cuts=[frames], **one)
    while tenth < 10 and mesh.gateways[0].streams.open:
        await asyncio.sleep(0.005)
    held.set()
    answer = await clients.ask("chat", what="resume", **one)
    assert (answer["status"], answer["error"]) == ("ready", None)
    assert text_of(answer) == ANSWER
    assert len(answer["messages"]) == 2


async def test_cut_and_resumed_after_the_end(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    cut = await clients.ask("chat", what="send", text="hi", cuts=[7], **one)
    assert cut["status"] == "error"
    await mesh.stored(cut["seen"][0]["headers"]["x-run-id"])
    answer = await clients.ask("chat", what="resume", **one)
    assert text_of(answer) == ANSWER
    again = await clients.ask("chat", what="resume", **one)
    assert (again["seen"][0]["status"], again["status"]) == (204, "ready")


async def test_nothing_to_resume(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    answer = await clients.ask("chat", what="resume", **one)
    assert (answer["seen"][0]["status"], answer["status"], answer["messages"]) == (204, "ready", [])
    await clients.ask("chat", what="send", text="hi", **one)
    answer = await clients.ask("chat", what="resume", **one)
    assert answer["seen"][0]["status"] == 204


async def test_a_reload_in_the_middle_shows_the_answer_once(mesh: SmallMesh, clients: LiveClients) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:10], gate, *plain(ANSWER)[10:]]
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    sending = asyncio.create_task(clients.ask("chat", what="send", text="hi", **one))
    while not mesh.worker.states or not next(iter(mesh.worker.states.values())).content:
        await asyncio.sleep(0.005)
    reloaded = {**one, "id": "reloaded", "chatId": "one"}
    resuming = asyncio.create_task(clients.ask("chat", what="resume", **reloaded))
    while sum(gateway.feeds.viewers for gateway in mesh.gateways) < 2 and not resuming.done():
        await asyncio.sleep(0.005)
    gate.set()
    answer = await resuming
    assert text_of(answer) == ANSWER
    assert [message["role"] for message in answer["messages"]] == ["assistant"]
    assert text_of(await sending) == ANSWER


async def test_the_workflow_transport_comes_back_by_itself(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice", "transport": "workflow"}
    answer = await clients.ask("chat", what="send", text="hi", cuts=[3, 9, 1, 20], **one)
    assert (answer["status"], answer["error"]) == ("ready", None)
    assert text_of(answer) == ANSWER
    asked = [int(seen["url"].rpartition("startIndex=")[2]) for seen in answer["seen"][1:]]
    # A client may lose the frame that came in the same moment as the cut.
    assert len(asked) == 4
    assert asked == sorted(asked)


async def test_the_workflow_transport_from_the_end(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    sent = await clients.ask("chat", what="send", text="hi", **one)
    run_id = sent["seen"][0]["headers"]["x-run-id"]
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        whole = (await http.get(f"/api/chat/{run_id}/stream?startIndex=0")).text
        last = await http.get(f"/api/chat/{run_id}/stream?startIndex=-4")
    frames = [line for line in whole.splitlines() if line.startswith("data: {")]
    got = [line for line in last.text.splitlines() if line.startswith("data: {")]
    assert got == frames[-4:]
    assert last.headers["x-workflow-stream-tail-index"] == str(len(frames) - 1)
    late = {**one, "id": "late", "chatId": "one", "transport": "workflow", "startIndex": -4}
    answer = await clients.ask("chat", what="resume", **late)
    assert answer["status"] == "ready"


async def test_the_gateway_is_killed(mesh: SmallMesh, clients: LiveClients) -> None:
    await mesh.gateway()
    one = {"id": "one", "bases": mesh.bases, "token": "alice", "transport": "workflow"}
    sending = asyncio.create_task(clients.ask("chat", what="send", text="hi", **one))
    while not mesh.worker.states or len(next(iter(mesh.worker.states.values())).content) < 40:
        await asyncio.sleep(0.005)
    await mesh.gateways[0].kill()
    answer = await sending
    assert (answer["status"], answer["error"]) == ("ready", None)
    assert text_of(answer) == ANSWER
    assert len(answer["seen"]) == 2


async def test_a_lost_worker_is_seen_as_one_answer(mesh: SmallMesh, clients: LiveClients) -> None:
    start = (e.StepStarted, {"step": 1, "kind": "model", "name": "m"})
    tool = {"tool_call_id": "c1", "name": "time"}
    mesh.worker.script = lambda _: [
        start,
        (e.TextDelta, {"part": 0, "delta": "Wrong "}),
        (e.TextDelta, {"part": 0, "delta": "words"}),
        (e.AttemptStarted, {"worker": "worker-2", "attempt": 2}),
        (e.TextRetracted, {"from_sequence": 3}),
        start,
        (e.TextDelta, {"part": 1, "delta": "Let me look. "}),
        (e.ToolCall, {"part": 2, "input": {"zone": "UTC"}, "state": "pending", **tool}),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "tool_calls"}),
        (e.StepStarted, {"step": 2, "kind": "tool", "name": "time"}),
        (e.ToolProgress, {"state": "running", "progress": 0.5, **tool}),
        (e.ToolResult, {"state": "completed", "output": "03:17", **tool}),
        (e.StepFinished, {"step": 2}),
        (e.StepStarted, {"step": 3, "kind": "model", "name": "m"}),
        (e.ReasoningDelta, {"part": 3, "delta": "Simple."}),
        (e.TextDelta, {"part": 4, "delta": "It is 03:17."}),
        (e.StepFinished, {"step": 3, "finish_reason": "stop"}),
    ]
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    answer = await clients.ask("chat", what="send", text="what time is it?", **one)
    assert text_of(answer) == "Let me look. It is 03:17."
    parts = {part["type"]: part for part in answer["messages"][-1]["parts"]}
    assert (parts["tool-time"]["state"], parts["tool-time"]["output"]) == ("output-available", "03:17")
    assert answer["messages"][-1]["metadata"]["attempt"] == 2
    stored = await mesh.stored(answer["seen"][0]["headers"]["x-run-id"])
    assert stored["content"] == text_of(answer)


async def test_stopped_from_elsewhere(mesh: SmallMesh, clients: LiveClients) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:10], gate, *plain(ANSWER)[10:]]
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    sending = asyncio.create_task(clients.ask("chat", what="send", text="hi", **one))
    while not mesh.worker.states or not next(iter(mesh.worker.states.values())).content:
        await asyncio.sleep(0.005)
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        assert (await http.post("/api/chat/one/stop")).status_code == 202
        gate.set()
        answer = await sending
        assert answer["status"] == "ready"
        assert answer["messages"][-1]["metadata"]["status"] == "cancelled"
        stored = await mesh.stored(answer["seen"][0]["headers"]["x-run-id"])
        assert (stored["status"], stored["content"]) == ("cancelled", text_of(answer))
        assert (await http.post("/api/chat/one/stop")).status_code == 204


async def test_regenerated(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    first = await clients.ask("chat", what="send", text="hi", **one)
    again = await clients.ask("chat", what="regenerate", **one)
    assert [message["role"] for message in again["messages"]] == ["user", "assistant"]
    assert again["messages"][-1]["id"] != first["messages"][-1]["id"]
    rows = sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])
    assert [row["role"] for row in rows] == ["user", "assistant", "user", "assistant"]
    assert rows[2]["parent_message_id"] == ""
    third = await clients.ask("chat", what="send", text="more", **one)
    rows = sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])
    assert rows[4]["parent_message_id"] == rows[3]["_id"] == third["messages"][1]["id"]


async def test_the_same_post_twice_is_one_run(mesh: SmallMesh) -> None:
    body = {"id": "c", "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]}
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        both = await asyncio.gather(*(http.post("/api/chat", json=body) for _ in range(2)))
    assert both[0].headers["x-run-id"] == both[1].headers["x-run-id"]
    assert both[0].text.splitlines()[-2:] == both[1].text.splitlines()[-2:]
    assert len(await mesh.service.rows("runs")) == 1


async def test_a_history_that_we_do_not_know_is_brought_along(mesh: SmallMesh) -> None:
    def part(text: str) -> list[dict[str, str]]:
        return [{"type": "text", "text": text}]

    messages = [
        {"id": "s", "role": "system", "parts": part("Be brief.")},
        {"id": "u", "role": "user", "parts": part("Ciao")},
        {"id": "elsewhere", "role": "assistant", "parts": part("Ciao!")},
        {"id": "u2", "role": "user", "parts": part("Where am I?")},
    ]
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        answer = await http.post("/api/chat", json={"id": "old", "messages": messages})
    run_id = answer.headers["x-run-id"]
    rows = sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])
    assert [(row["role"], row["content"]) for row in rows[:4]] == [
        ("system", "Be brief."),
        ("user", "Ciao"),
        ("assistant", "Ciao!"),
        ("user", "Where am I?"),
    ]
    from rpc.v1 import conversation_pb2 as pb

    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=run_id))
    assert [item.content for item in given.messages] == ["Be brief.", "Ciao", "Ciao!", "Where am I?"]


async def test_nobody_elses_chat(mesh: SmallMesh, clients: LiveClients) -> None:
    one = {"id": "one", "bases": mesh.bases, "token": "alice"}
    sent = await clients.ask("chat", what="send", text="hi", **one)
    run_id = sent["seen"][0]["headers"]["x-run-id"]
    (thread,) = await mesh.service.rows("threads")
    async with plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer bob"}) as http:
        assert (await http.get("/api/chat/one/stream")).status_code == 204
        assert (await http.get(f"/api/chat/{thread['_id']}/stream")).status_code == 204
        assert (await http.get(f"/api/chat/{run_id}/stream?startIndex=0")).status_code == 404
        assert (await http.post(f"/api/chat/{run_id}/stop")).status_code == 404
        body = {
            "id": thread["_id"],
            "messages": [{"id": "x", "role": "user", "parts": [{"type": "text", "text": "x"}]}],
        }
        assert (await http.post("/api/chat", json=body)).status_code in (404, 409, 500)
    assert len(await mesh.service.rows("runs")) == 1


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 422, "not a chat request"),
        (b"[]", 422, "not a chat request"),
        (b'{"id":"a","messages":[]}', 422, "no messages"),
        (b'{"id":"a","messages":[{"role":"assistant","id":"x","parts":[]}]}', 422, "not a user's"),
        (b'{"id":"a","messages":[{"role":"user","id":"x","parts":[]}]}', 422, "no text"),
        (b'{"id":"a","messages":[{"role":"user","id":"x","parts":[{"type":"file"}]}]}', 422, "not accepted"),
        (b'{"messages":[{"role":"user","parts":[{"type":"text","text":"x"}]}]}', 422, "names no chat"),
        (
            b'{"id":"a","model":"no:such","messages":[{"role":"user","id":"x","parts":[{"type":"text","text":"x"}]}]}',
            422,
            "not available",
        ),
    ],
)
async def test_what_is_refused_says_why(mesh: SmallMesh, body: bytes, status: int, sentence: str) -> None:
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as http:
        answer = await http.post("/api/chat", content=body)
    assert answer.status_code == status
    assert sentence in answer.text
    assert await mesh.service.rows("runs") == []


async def test_no_token(mesh: SmallMesh) -> None:
    async with plain_client(base_url=mesh.bases[0]) as http:
        answer = await http.get("/api/chat/one/stream")
    assert answer.status_code == 401


async def test_heartbeats_before_the_first_event(mesh: SmallMesh) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [gate, *plain("hi")]
    gateway = await mesh.gateway(heartbeat=0.05)
    body = {"id": "c", "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]}
    async with (
        plain_client(base_url=gateway.base, headers=ALICE) as http,
        http.stream("POST", "/api/chat", json=body) as answer,
    ):
        beats = 0
        async for line in answer.aiter_lines():
            beats += line.startswith(":")
            if beats > 3:
                gate.set()
        assert line == "" or line.startswith("data: [DONE]")
    assert beats > 3
