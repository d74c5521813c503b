"""Outputs for calls of an answer that is not among the thread's newest messages: looked at as any others, however long ago it was."""

from typing import Any

import httpx2
import pytest
from contracts.ids import MESSAGE, new_id
from contracts.parts import ToolCallPart
from msgspec import json
from rpc.v1 import conversation_pb2 as pb

from tests.integration.conversation.replica import ALICE
from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.test_page_tools import ASK, LOOK, calls, http, in_turn, rows, says

MANY = 60
"""More than the newest messages that are looked at first."""


async def insert(mesh: SmallMesh, new: list[dict[str, Any]]) -> None:
    """Put messages behind the thread's last one."""
    found = await rows(mesh)
    last = found[-1]["position"]
    for number, row in enumerate(new):
        row["position"] = last + 1 + number
    await mesh.service.database.collection("messages").insert_many(new)
    threads = mesh.service.database.collection("threads")
    await threads.update_one({"_id": found[0]["thread_id"]}, {"$set": {"length": last + len(new)}})


async def much_is_said_elsewhere(mesh: SmallMesh) -> None:
    """On a branch beside."""
    question = (await rows(mesh))[0]
    await insert(mesh, [question | {"_id": new_id(MESSAGE), "run_id": ""} for _ in range(MANY)])


def page(mesh: SmallMesh, *given: str, come_to: str = "") -> dict[str, Any]:
    """The body of a POST with outputs of these calls; one that keeps metadata says which answer the message has `come_to`."""
    parts = [{"type": "tool-look", "toolCallId": one, "state": "output-available", "output": 1} for one in given]
    answer: dict[str, Any] = {"id": mesh.worker.inputs[0].message_id, "role": "assistant", "parts": parts}
    if come_to:
        answer["metadata"] = {"message_id": come_to}
    return {"id": "old", "messages": [ASK, answer], "tools": {"look": LOOK}}


async def refused(client: httpx2.AsyncClient, body: dict[str, Any], sentence: str) -> None:
    answer = await client.post("/api/chat", json=body)
    assert (answer.status_code, sentence in answer.text) == (422, True), answer.text


@pytest.mark.parametrize("keeps", [True, False])
async def test_outputs_for_a_call_of_long_ago(mesh: SmallMesh, keeps: bool) -> None:
    in_turn(mesh, calls("look", "look"), calls("look", first=3), says("Done."))

    def told(*given: str) -> dict[str, Any]:
        return page(mesh, *given, come_to=mesh.worker.inputs[-1].message_id if keeps else "")

    async with http(mesh) as client:
        await client.post("/api/chat", json={"id": "old", "messages": [ASK], "tools": {"look": LOOK}})
        await mesh.stored(mesh.worker.inputs[0].run_id)
        await much_is_said_elsewhere(mesh)
        await refused(client, told("c1", "c2", "c9"), "'c9', a call that was never made")
        await refused(client, told("c1"), "'c2' of 'look' has no output yet")
        assert (await client.post("/api/chat", json=told("c1", "c2"))).status_code == 200
        await mesh.stored(mesh.worker.inputs[1].run_id)
        await much_is_said_elsewhere(mesh)
        await refused(client, told("c1", "c2", "c3", "c9"), "'c9', a call that was never made")
        last = await client.post("/api/chat", json=told("c1", "c2", "c3"))
        assert (last.status_code, '"Done."' in last.text) == (200, True), last.text
        # One that tells what it told before is shown what followed, and not that there is nothing left.
        first = page(mesh, "c1", "c2", come_to=mesh.worker.inputs[0].message_id if keeps else "")
        again = await client.post("/api/chat", json=first | {"model": "openai:gpt-4o-mini"})
        assert again.headers["x-run-id"] == mesh.worker.inputs[1].run_id
    answers = [command.message_id for command in mesh.worker.inputs]
    results = [row for row in await rows(mesh) if row["role"] == "tool"]
    assert [row["parent_message_id"] for row in results] == answers[:2]
    assert [[part["tool_call_id"] for part in json.decode(row["parts"])] for row in results] == [["c1", "c2"], ["c3"]]


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_message_of_very_many_rounds(mesh: SmallMesh, keeps: bool) -> None:
    in_turn(mesh, calls("look"), says("Done."))
    async with http(mesh) as client:
        await client.post("/api/chat", json={"id": "old", "messages": [ASK], "tools": {"look": LOOK}})
        await mesh.stored(mesh.worker.inputs[0].run_id)
        first = (await rows(mesh))[1]
        made, rounds, parent = ["c1"], [], first["_id"]
        for number in range(MANY):
            result = ToolCallPart(tool_call_id=made[-1], name="look", state="completed", output=1)
            results = {"role": "tool", "parts": json.encode([result]).decode(), "run_id": ""}
            rounds.append(first | results | {"_id": new_id(MESSAGE), "parent_message_id": parent})
            made.append(f"r{number}")
            call = ToolCallPart(tool_call_id=made[-1], name="look", state="pending", input={})
            answer = {"_id": new_id(MESSAGE), "parent_message_id": rounds[-1]["_id"]}
            rounds.append(first | {"parts": json.encode([call]).decode()} | answer)
            parent = answer["_id"]
        await insert(mesh, rounds)
        come_to = parent if keeps else ""
        await refused(client, page(mesh, *made, "c9", come_to=come_to), "'c9', a call that was never made")
        told = await client.post("/api/chat", json=page(mesh, *made, come_to=come_to))
        assert (told.status_code, '"Done."' in told.text) == (200, True), told.text
    stored = (await rows(mesh))[-2]
    assert (stored["parent_message_id"], [part["tool_call_id"] for part in json.decode(stored["parts"])]) == (
        parent,
        [made[-1]],
    )


async def test_ag_ui_answers_a_call_of_long_ago(mesh: SmallMesh) -> None:
    in_turn(mesh, calls("look"), says("Done."))
    body = {"threadId": "t", "tools": [{"name": "look", "description": "Look."}]}
    asked = {"id": "1", "role": "user", "content": "hi"}
    async with http(mesh) as client:
        await client.post("/agui/run", json={**body, "runId": "r1", "messages": [asked]})
        await mesh.stored(mesh.worker.inputs[0].run_id)
        await much_is_said_elsewhere(mesh)
        made = [
            {"id": one, "type": "function", "function": {"name": "look", "arguments": "{}"}} for one in ("c1", "c9")
        ]
        answer = {"id": mesh.worker.inputs[0].message_id, "role": "assistant", "toolCalls": made}
        results = [{"id": f"r{one}", "role": "tool", "toolCallId": one, "content": "x"} for one in ("c1", "c9")]
        told = {**body, "runId": "r2", "messages": [asked, answer, *results]}
        assert (await client.post("/agui/run", json=told)).status_code == 200
    stored = (await rows(mesh))[-2]
    # Of a call that this answer did not leave nothing is stored.
    assert [part["tool_call_id"] for part in json.decode(stored["parts"])] == ["c1"]


async def test_what_leads_to_a_message_and_what_came_later(mesh: SmallMesh) -> None:
    in_turn(mesh, says("One."), says("Two."), says("Beside."))
    async with http(mesh) as client:
        for _ in range(2):
            await client.post("/api/chat", json={"id": "old", "messages": [ASK | {"id": new_id(MESSAGE)}]})
    found = [row["_id"] for row in await rows(mesh)]
    thread = (await rows(mesh))[0]["thread_id"]

    async def listed(**more: Any) -> list[str]:
        request = pb.ListMessagesRequest(user_id=ALICE, thread_id=thread, **more)
        return [item.id for item in (await mesh.service.stub.ListMessages(request)).items]

    assert await listed(path_to=found[2]) == found[:3]
    assert await listed(path_to=found[2], limit=2) == found[1:3]
    assert await listed(behind=found[1]) == found[2:]
    assert await listed(behind=found[3]) == []
