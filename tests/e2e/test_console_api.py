"""The console's calls over real processes: what an administrator sees and does, and that nobody else may."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from bus.jetstream import connect
from bus.letters import dead_letter_headers
from contracts.ids import THREAD, new_id, user_id_of
from contracts.subjects import append_subject, dead_letter_subject
from contracts.topology import CONSUMERS, STREAMS
from everthread.broker import address_of
from everthread.home import Home
from gateway.domain.identity import DEV_ISSUER

from tests.e2e.conftest import CONTAINERS
from tests.mesh import Mesh, create_thread, send, stored_answer

NO_RUN = "run_" + "0" * 26


@pytest.fixture
async def admin(mesh: Mesh) -> AsyncIterator[httpx2.AsyncClient]:
    async with mesh.client() as client:
        client.headers["authorization"] = f"Bearer {mesh.token(role='admin')}"
        yield client


async def asked(client: httpx2.AsyncClient, path: str, **query: Any) -> Any:
    response = await client.get(f"/v1/admin/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def test_others_may_do_nothing_of_it(mesh: Mesh) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("GET", "overview", None),
        ("GET", "runs", None),
        ("GET", f"runs/{NO_RUN}/timeline", None),
        ("POST", "runs/stop", {"run_ids": [NO_RUN]}),
        ("GET", "workers", None),
        ("GET", "streams", None),
        ("GET", "dead-letters", None),
        ("POST", "dead-letters/1/retry", None),
        ("POST", "test-event", {"text": "hello"}),
    ]
    async with mesh.client() as client:
        for method, path, body in calls:
            response = await client.request(method, f"/v1/admin/{path}", json=body)
            assert (response.status_code, response.json()["code"]) == (403, "forbidden"), path


async def test_processes_queues_and_figures(admin: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            # Those that a test before has killed are shown until their heartbeats expire.
            workers = await asked(admin, "workers")
            kinds = Counter(worker["kind"] for worker in workers["items"])
            if kinds["inference"] == kinds["gateway"] == 2 and kinds["conversation"] and kinds["notifier"]:
                break
            await asyncio.sleep(0.2)
    assert workers["warnings"] == []
    for worker in workers["items"]:
        assert worker["version"]
        assert worker["started_at"] <= worker["seen_at"]
        assert (worker["slots"] is None) == (worker["kind"] != "inference")
    streams = {stream["name"]: stream for stream in (await asked(admin, "streams"))["items"]}
    assert list(streams) == [stream.name for stream in STREAMS]
    consumers = [consumer for stream in streams.values() for consumer in stream["consumers"]]
    assert {consumer["name"] for consumer in consumers} == {consumer.name for consumer in CONSUMERS}
    assert all(consumer["lag_seconds"] >= 0 for consumer in consumers)
    assert streams["RUNS"]["limit_bytes"] > 0
    overview = await asked(admin, "overview")
    assert (overview["workers"], overview["gateways"]) == (2, 2)
    assert set(overview["runs"]) == {"pending", "generating", "waiting", "ended_last_hour", "failed_last_hour"}
    assert isinstance(overview["outbox"], int)


async def test_runs_of_others_are_listed_timed_and_stopped(mesh: Mesh, admin: httpx2.AsyncClient) -> None:
    whose = user_id_of(DEV_ISSUER, "watched")
    async with mesh.client(user="watched") as client:
        thread = await create_thread(client)
        ended = (await send(client, thread, "tokens=10"))["run_id"]
        await stored_answer(client, thread, ended)
        endless = (await send(client, thread, "tokens=3000 rate=50"))["run_id"]
        async with asyncio.timeout(15):
            # The list is the database's: an answer shows as complete a moment before it is there.
            while [run["status"] for run in (await asked(admin, "runs", user=whose))["items"]] != [
                "generating",
                "complete",
            ]:
                await asyncio.sleep(0.1)
        first = await asked(admin, "runs", user=whose, limit=1)
        (running,) = first["items"]
        assert (running["id"], running["status"], running["ended_at"]) == (endless, "generating", None)
        (whole,) = (await asked(admin, "runs", user=whose, limit=1, cursor=first["next_cursor"]))["items"]
        assert (whole["id"], whole["status"], whole["thread_id"], whole["user_id"]) == (
            ended,
            "complete",
            thread,
            whose,
        )
        assert (whole["attempts"], whole["error_code"]) == (1, None)
        assert whole["cost_microusd"] > 0
        timeline = await asked(admin, f"runs/{ended}/timeline")
        assert (timeline["run_id"], timeline["status"]) == (ended, "complete")
        assert timeline["phases"][0]["name"] == "accepted"
        body = {"run_ids": [endless, ended, NO_RUN, "nonsense", endless]}
        response = await admin.post("/v1/admin/runs/stop", json=body)
        assert (response.status_code, response.json()) == (
            200,
            {
                "stopped": [endless],
                "refused": {ended: "run_finished", NO_RUN: "run_not_found", "nonsense": "run_not_found"},
            },
        )
        answer = await stored_answer(client, thread, endless)
        assert answer["status"] == "cancelled"
        assert answer["content"], "what was written is kept"
    async with asyncio.timeout(15):
        while (await asked(admin, "overview"))["runs"]["ended_last_hour"] < 2:
            await asyncio.sleep(0.1)
    unknown = await admin.get(f"/v1/admin/runs/{NO_RUN}/timeline")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "run_not_found")


async def test_a_test_event_goes_all_the_way(admin: httpx2.AsyncClient) -> None:
    response = await admin.post("/v1/admin/test-event", json={"text": "tokens=5"})
    assert response.status_code == 202, response.text
    sent = response.json()
    assert (await stored_answer(admin, sent["thread_id"], sent["run_id"]))["status"] == "complete"
    assert (await admin.get(f"/v1/threads/{sent['thread_id']}")).json()["title"] == "Test event"


@pytest.mark.skipif(CONTAINERS, reason="the broker in containers is not reached from here")
async def test_a_dead_letter_is_shown_and_sent_again(mesh: Mesh, admin: httpx2.AsyncClient) -> None:
    subject = append_subject(new_id(THREAD))
    bus = await connect(address_of(Home(mesh.home), "admin"), instance="test")
    headers = dead_letter_headers(
        reason="not today",
        stream="COMMANDS",
        consumer="conversation-append",
        subject=subject,
        stream_sequence=1,
        delivered=3,
    )
    letter = await bus.publish(
        dead_letter_subject("COMMANDS", "conversation-append"), b"{}", message_id=subject, headers=headers
    )
    found = {item["sequence"]: item for item in (await asked(admin, "dead-letters", limit=100))["items"]}
    shown = found[letter]
    assert (shown["consumer"], shown["stream"], shown["subject"]) == ("conversation-append", "COMMANDS", subject)
    assert (shown["reason"], shown["delivered"]) == ("not today", 3)
    assert (await asked(admin, "overview"))["dead_letters"] >= 1
    again = await admin.post(f"/v1/admin/dead-letters/{letter}/retry")
    assert (again.status_code, again.content) == (204, b"")
    # It says nothing that could be stored, so it comes back for the same subject, as another letter.
    async with asyncio.timeout(15):
        while True:
            items = (await asked(admin, "dead-letters"))["items"]
            back = [item for item in items if item["subject"] == subject]
            if back:
                break
            await asyncio.sleep(0.1)
    assert back[0]["sequence"] != letter
    gone = await admin.post(f"/v1/admin/dead-letters/{letter}/retry")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    await bus.erase("DEAD_LETTERS", back[0]["sequence"])
    await bus.drain()
