"""The native door's waits, steers, branches, schedules and replays: real conversation and gateways, a worker by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.ids import user_id_of
from contracts.times import rfc3339
from rpc.v1 import conversation_pb2 as pb
from websockets.asyncio.client import connect as connect_socket

from tests.integration.conversation.replica import start_replica
from tests.integration.conversation.runs import Worker
from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.mesh import Worker as Answering
from tests.integration.front_doors.mesh import plain
from tests.plain_http import plain_client

ALICE = {"authorization": "Bearer alice"}
QUESTION = {
    "type": "object",
    "properties": {"answer": {"enum": ["Rome", "Paris"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


@pytest.fixture
async def idle(database: str) -> AsyncIterator[SmallMesh]:
    """A mesh in which nobody executes runs but the test."""
    broker = Broker()
    service = await start_replica(database, MemoryBus("conversation-1", broker))
    service.record()
    made = SmallMesh(service, broker, Answering(MemoryBus("inference-1", broker), lambda _: plain("")))
    for _ in range(2):
        await made.gateway()
    yield made
    for gateway in made.gateways:
        await gateway.close()
    await service.close()


@pytest.fixture
async def http(idle: SmallMesh) -> AsyncIterator[httpx2.AsyncClient]:
    async with plain_client(base_url=idle.bases[0], headers=ALICE, timeout=20) as client:
        yield client


async def asked(http: httpx2.AsyncClient, thread: str = "", **more: Any) -> dict[str, Any]:
    """A message in a new thread, or in one that there is."""
    thread = thread or (await http.post("/v1/threads", json={})).json()["id"]
    response = await http.post(f"/v1/threads/{thread}/messages", json={"content": "Where to?", **more})
    assert response.status_code == 202, response.text
    return {"thread_id": thread, **response.json()}


async def taken(idle: SmallMesh, accepted: dict[str, Any]) -> Worker:
    known = pb.AcceptMessageResponse(run_id=accepted["run_id"], assistant_message_id=accepted["assistant_message_id"])
    return await Worker.take(idle.service, accepted["thread_id"], known)


async def waiting(idle: SmallMesh, accepted: dict[str, Any], reason: str = "input", **more: Any) -> Worker:
    """A run that waits."""
    worker = await taken(idle, accepted)
    expires_at = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    fields = {"reason": reason, "wait_id": "w1", "prompt": "Which one?", "expires_at": expires_at, **more}
    await worker.add(e.RunWaiting, **fields)
    await worker.snapshot()
    return worker


async def refused(http: httpx2.AsyncClient, run: str, what: str, body: dict[str, Any]) -> tuple[int, str]:
    response = await http.post(f"/v1/runs/{run}/{what}", json=body)
    return response.status_code, response.json()["code"]


async def test_of_two_devices_that_answer_one_wins_and_the_other_is_told(
    idle: SmallMesh, http: httpx2.AsyncClient
) -> None:
    accepted = await asked(http)
    run = accepted["run_id"]
    assert await refused(http, run, "input", {"value": {"answer": "Rome"}}) == (409, "run_not_waiting")
    worker = await waiting(idle, accepted, schema=QUESTION)
    seen = (await http.get(f"/v1/runs/{run}")).json()
    assert (seen["status"], seen["waiting"]["prompt"], seen["waiting"]["input_schema"]) == (
        "waiting",
        "Which one?",
        QUESTION,
    )
    messages = (await http.get(f"/v1/threads/{accepted['thread_id']}/messages")).json()["items"]
    assert messages[-1]["status"] == "generating"
    assert await refused(http, run, "input", {"value": {"answer": "Oslo"}}) == (422, "input_invalid")
    assert await refused(http, run, "input", {"value": {}, "wait_id": "w0"}) == (409, "run_not_waiting")
    assert await refused(http, run, "approve", {"approved": True}) == (409, "run_not_waiting")
    stranger = plain_client(base_url=idle.bases[0], headers={"authorization": "Bearer bob"})
    async with stranger, plain_client(base_url=idle.bases[1], headers=ALICE) as other:
        assert await refused(stranger, run, "input", {"value": {"answer": "Rome"}}) == (404, "run_not_found")
        answers = await asyncio.gather(
            *(
                client.post(f"/v1/runs/{run}/input", json={"value": {"answer": city}, "wait_id": "w1"})
                for client, city in ((http, "Rome"), (other, "Paris"))
            )
        )
        assert sorted(answer.status_code for answer in answers) == [202, 409]
        loser = next(answer for answer in answers if answer.status_code == 409)
        assert loser.json()["code"] == "already_answered"
        won = "Rome" if answers[0].status_code == 202 else "Paris"
        again = await http.post(f"/v1/runs/{run}/input", json={"value": {"answer": won}, "wait_id": "w1"})
        assert again.status_code == 202
    await worker.add(e.RunResumed, reason="input", wait_id="w1", by=user_id_of("test", "alice"))
    other_city = "Paris" if won == "Rome" else "Rome"
    body = {"value": {"answer": other_city}, "wait_id": "w1"}
    assert await refused(http, run, "input", body) == (409, "already_answered")
    await worker.end()
    await idle.stored(run)
    assert await refused(http, run, "input", {"value": 1}) == (409, "run_finished")


async def test_an_approval_and_its_expiry(idle: SmallMesh, http: httpx2.AsyncClient) -> None:
    accepted = await asked(http)
    await waiting(idle, accepted, "approval")
    run = accepted["run_id"]
    assert await refused(http, run, "input", {"value": 1}) == (409, "run_not_waiting")
    decided = await http.post(f"/v1/runs/{run}/approve", json={"approved": False, "note": "Too dear."})
    assert (decided.status_code, decided.json()["wait_id"]) == (202, "w1")
    assert await refused(http, run, "approve", {"approved": True}) == (409, "already_answered")
    late = await asked(http)
    await waiting(idle, late, "approval", expires_at="2026-01-01T00:00:00.000Z")
    assert await refused(http, late["run_id"], "approve", {"approved": True}) == (409, "run_not_waiting")


async def test_answers_and_steers_over_a_websocket(idle: SmallMesh, http: httpx2.AsyncClient) -> None:
    accepted = await asked(http)
    worker = await waiting(idle, accepted, schema=QUESTION)
    run = accepted["run_id"]
    address = idle.bases[0].replace("http", "ws") + "/v1/ws"
    async with connect_socket(address) as socket:

        async def say(**frame: Any) -> dict[str, Any]:
            await socket.send(json.dumps(frame))
            return dict(json.loads(await socket.recv()))

        await say(type="auth", token="alice")
        wrong = await say(type="input", id="1", run=run, value={"answer": "Oslo"})
        assert (wrong["type"], wrong["code"]) == ("error", "input_invalid")
        right = await say(type="input", id="2", run=run, value={"answer": "Rome"})
        assert right == {"type": "answered", "id": "2", "run_id": run, "wait_id": "w1"}
        again = await say(type="approve", id="3", run=run, approved=True, wait_id="w1")
        assert again["code"] == "run_not_waiting"
        steered = await say(type="steer", id="4", run=run, content="by train")
        assert (steered["type"], steered["steered"], steered["run_id"]) == ("accepted", True, run)
        await worker.end()
        await idle.stored(run)
        late = await say(type="steer", id="5", run=run, content="too late")
        assert late["code"] == "run_finished"


async def test_a_message_while_another_is_answered(idle: SmallMesh, http: httpx2.AsyncClient) -> None:
    first = await asked(http)
    thread = first["thread_id"]
    assert (first["queued"], (await asked(http, thread))["queued"]) == (False, True)
    busy = await http.post(f"/v1/threads/{thread}/messages", json={"content": "now", "on_busy": "reject"})
    assert (busy.status_code, busy.json()["code"]) == (409, "thread_busy")
    steered = await asked(http, thread, on_busy="steer")
    assert (steered["steered"], steered["run_id"]) == (True, first["run_id"])
    settings = {"on_busy": "reject", "agent": "researcher"}
    assert (await http.patch(f"/v1/threads/{thread}", json=settings)).json() | settings == (
        await http.get(f"/v1/threads/{thread}")
    ).json()
    later = await asked(http, run_at=rfc3339(datetime.now(UTC) + timedelta(hours=1)))
    assert later["queued"]
    assert (await http.get(f"/v1/runs/{later['run_id']}")).json()["run_at"]
    bad = await http.post(f"/v1/threads/{thread}/messages", json={"content": "x", "run_at": "soon"})
    assert (bad.status_code, bad.json()["code"]) == (422, "schedule_invalid")
    listed = (await http.get("/v1/runs", params={"thread_id": thread})).json()["items"]
    assert [run["id"] for run in listed][-1] == first["run_id"]


async def test_branches_forks_and_schedules(idle: SmallMesh, http: httpx2.AsyncClient) -> None:
    first = await asked(http)
    thread = first["thread_id"]
    await (await taken(idle, first)).end()
    await idle.stored(first["run_id"])
    here = f"/v1/threads/{thread}"
    anew = await http.post(f"{here}/messages/{first['assistant_message_id']}/regenerate", json={"branch_label": "2"})
    assert (anew.status_code, anew.json()["message_id"]) == (202, first["message_id"])
    await (await taken(idle, {"thread_id": thread, **anew.json()})).end()
    await idle.stored(anew.json()["run_id"])
    edited = await http.post(f"{here}/messages/{first['message_id']}/edit", json={"content": "Where else?"})
    assert edited.status_code == 202
    branches = (await http.get(f"{here}/branches")).json()["items"]
    assert [(branch["label"], branch["active"]) for branch in branches] == [("", False), ("2", False), ("", True)]
    active = (await http.get(f"{here}/messages", params={"branch": "active"})).json()["items"]
    assert [message["content"] for message in active] == ["Where else?", ""]
    await http.patch(here, json={"branch": branches[1]["id"]})
    active = (await http.get(f"{here}/messages", params={"branch": "active"})).json()["items"]
    assert [message["id"] for message in active] == [first["message_id"], anew.json()["assistant_message_id"]]
    named = await http.patch(f"{here}/branches/{branches[0]['id']}", json={"label": "first"})
    assert named.json()["label"] == "first"
    fork = await http.post(f"{here}/fork", json={"message_id": first["assistant_message_id"], "title": "Other"})
    assert (fork.status_code, fork.json()["title"]) == (201, "Other")
    wanted = {"cron": "0 9 * * mon-fri", "time_zone": "Europe/Rome", "content": "Good morning"}
    made = await http.post(f"{here}/schedules", json=wanted)
    assert (made.status_code, made.json()["next_at"] > made.json()["created_at"]) == (201, True)
    wrong = await http.post(f"{here}/schedules", json={**wanted, "cron": "every day"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "schedule_invalid")
    assert len((await http.get(f"{here}/schedules")).json()["items"]) == 1
    one = f"{here}/schedules/{made.json()['id']}"
    tag = made.headers["etag"]
    assert (await http.get(one)).headers["etag"] == tag == '"1"'
    paused = await http.patch(one, json={"paused": True}, headers={"if-match": tag})
    assert (paused.json()["paused"], paused.json()["next_at"], paused.headers["etag"]) == (True, None, '"2"')
    for headers, body, status, code in (
        ({}, {"content": "Good night"}, 428, "revision_missing"),
        ({"if-match": tag}, {"content": "Good night"}, 412, "revision_conflict"),
        ({"if-match": '"2"'}, {"model": "nobody:knows"}, 422, "model_unknown"),
        ({"if-match": '"2"'}, {"cron": "every day"}, 422, "schedule_invalid"),
        ({"if-match": '"2"'}, {"seconds": 1}, 422, "body_invalid"),
    ):
        refused = await http.patch(one, json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code), body
    again = await http.patch(one, json={"paused": True}, headers={"if-match": tag})
    assert (again.status_code, again.json()) == (200, paused.json())
    edited = await http.patch(one, json={"content": "Good night", "paused": False}, headers={"if-match": '"2"'})
    assert (edited.json()["content"], edited.json()["revision"], edited.json()["next_at"]) == (
        "Good night",
        3,
        made.json()["next_at"],
    )
    nobody = {"authorization": "Bearer mallory", "if-match": '"3"'}
    assert (await http.patch(one, json={"paused": True}, headers=nobody)).json()["code"] == "thread_not_found"
    assert (await http.get(f"{here}/schedules/sch_{'0' * 26}")).json()["code"] == "schedule_not_found"
    gone = await http.delete(f"{here}/schedules/{made.json()['id']}")
    assert (gone.status_code, (await http.get(f"{here}/schedules")).json()["items"]) == (204, [])
    assert (await http.delete(f"{here}/schedules/{made.json()['id']}")).json()["code"] == "schedule_not_found"


async def test_a_replay_gives_the_recorded_events_without_the_model(idle: SmallMesh, http: httpx2.AsyncClient) -> None:
    accepted = await asked(http)
    worker = await taken(idle, accepted)
    for delta in ("Ro", "me"):
        await worker.add(e.TextDelta, part=0, delta=delta)
    await worker.end()
    run = accepted["run_id"]
    log = (await http.get(f"/v1/runs/{run}/log")).json()["items"]
    for speed in ("0", "1", "1000"):
        replay = await http.get(f"/v1/runs/{run}/replay", params={"speed": speed})
        events = [json.loads(line[6:]) for line in replay.text.splitlines() if line.startswith("data: ")]
        assert events == log
    wrong = await http.get(f"/v1/runs/{run}/replay", params={"speed": "-1"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "query_invalid")
