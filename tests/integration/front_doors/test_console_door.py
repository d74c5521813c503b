"""The console's calls at the door: a mesh in which no process is heard, and runs of somebody else."""

import asyncio

import httpx2
from bus.heartbeats import Heartbeats
from bus.memory import MemoryBus

from tests.integration.front_doors.conftest import SmallMesh
from tests.plain_http import plain_client


def client(mesh: SmallMesh, user: str) -> httpx2.AsyncClient:
    return plain_client(base_url=mesh.bases[0], headers={"authorization": f"Bearer {user}"}, timeout=20)


async def test_queues_that_nobody_takes_from_are_warned_of_until_a_process_is_heard(mesh: SmallMesh) -> None:
    bus = MemoryBus("inference-1", mesh.broker)
    heartbeats = Heartbeats(bus, "inference", version="1.0", slots=lambda: (8, 1))
    async with client(mesh, "root") as admin:
        before = (await admin.get("/v1/admin/workers")).json()
        assert before["items"] == []
        assert [sentence.split()[1] for sentence in before["warnings"]] == ["conversation", "inference", "notifier"]
        assert "inference-execute, inference-read; 0 items wait." in before["warnings"][1]
        heartbeats.start()
        async with asyncio.timeout(10):
            while not (after := (await admin.get("/v1/admin/workers")).json())["items"]:
                await asyncio.sleep(0.01)
        (worker,) = after["items"]
        assert (worker["kind"], worker["slots"], worker["slots_in_use"]) == ("inference", 8, 1)
        assert [sentence.split()[1] for sentence in after["warnings"]] == ["conversation", "notifier"]
        assert (await admin.get("/v1/admin/overview")).json()["workers"] == 1
        await heartbeats.close()
        assert (await admin.get("/v1/admin/workers")).json()["items"] == []
    await bus.drain()


async def test_what_is_wrong_with_a_question_is_said(mesh: SmallMesh) -> None:
    async with client(mesh, "root") as admin, client(mesh, "ada") as other:
        thread = (await other.post("/v1/threads", json={"title": "t"})).json()["id"]
        run = (await other.post(f"/v1/threads/{thread}/messages", json={"content": "hi"})).json()["run_id"]
        await mesh.stored(run)
        (listed,) = (await admin.get("/v1/admin/runs", params={"limit": 5})).json()["items"]
        assert (listed["id"], listed["thread_id"], listed["status"]) == (run, thread, "complete")
        assert not {"content", "text", "error_message", "client"} & set(listed)
        assert (await admin.get(f"/v1/runs/{run}/timeline")).status_code == 404
        assert (await admin.get(f"/v1/admin/runs/{run}/timeline")).json()["run_id"] == run
        for query, status, code in (
            ({"since": "soon"}, 422, "query_invalid"),
            ({"user": "ada"}, 422, "query_invalid"),
            ({"status": "odd"}, 422, "query_invalid"),
            ({"cursor": "odd"}, 400, "cursor_invalid"),
        ):
            refused = await admin.get("/v1/admin/runs", params=query)
            assert (refused.status_code, refused.json()["code"]) == (status, code), query
        bodies: list[dict[str, list[str]]] = [{"run_ids": []}, {"run_ids": ["run_x"] * 101}, {}]
        for body in bodies:
            assert (await admin.post("/v1/admin/runs/stop", json=body)).status_code == 422
        stopped = (await admin.post("/v1/admin/runs/stop", json={"run_ids": [run]})).json()
        assert stopped == {"stopped": [], "refused": {run: "run_finished"}}
        blank = await admin.post("/v1/admin/test-event", json={"text": "  "})
        assert (blank.status_code, blank.json()["code"]) == (422, "message_empty")
        for path in ("overview", "runs", "workers", "streams", "dead-letters"):
            refused = await other.get(f"/v1/admin/{path}")
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
