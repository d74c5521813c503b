"""What came of one tool call, told by two tabs: the first stands, the same again joins the answer to it, another is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from contracts import events as e
from contracts.commands import ExecuteRun
from contracts.usage import Usage

from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.test_page_tools import ASK, LOOK, calls, in_turn, says
from tests.plain_http import plain_client

Tabs = tuple[httpx2.AsyncClient, httpx2.AsyncClient]


@pytest.fixture
async def tabs(mesh: SmallMesh) -> AsyncIterator[Tabs]:
    """Two tabs, each at a gateway of its own."""
    await mesh.gateway()
    async with tab(mesh, 0) as one, tab(mesh, 1) as other:
        yield one, other


def tab(mesh: SmallMesh, gateway: int) -> httpx2.AsyncClient:
    return plain_client(base_url=mesh.bases[gateway], headers={"authorization": "Bearer alice"}, timeout=30)


def told(mesh: SmallMesh, output: Any, *, knows: bool = True, **more: Any) -> dict[str, Any]:
    """What a page sends once it has an output of the first call; one that `knows` has kept the message's metadata."""
    first = mesh.worker.inputs[0].message_id
    part = {"type": "tool-look", "toolCallId": "c1", "state": "output-available", "input": {}, "output": output, **more}
    answer = {"id": first, "role": "assistant", "parts": [{"type": "step-start"}, part]}
    return {"id": "tabs", "messages": [ASK, {**answer, "metadata": {"message_id": first}} if knows else answer]}


async def test_the_second_tab_joins_the_answer_to_the_first_or_is_told_what_stands(mesh: SmallMesh, tabs: Tabs) -> None:
    gate = asyncio.Event()
    start, text, *rest = says("Blue.")
    in_turn(mesh, calls("look"), [start, text, gate, *rest], says("Never."))
    one, other = tabs
    await one.post("/api/chat", json={"id": "tabs", "messages": [ASK], "tools": {"look": LOOK}})
    await mesh.stored(mesh.worker.inputs[0].run_id)
    first = asyncio.create_task(one.post("/api/chat", json=told(mesh, {"a": 1, "b": [2]}) | {"tools": {"look": LOOK}}))
    while len(mesh.worker.inputs) < 2:
        await asyncio.sleep(0.005)
    run_id = mesh.worker.inputs[1].run_id
    # Other tools, other order of its fields, no metadata, and the answer still goes on.
    same = {"b": [2], "a": 1}
    joining = [
        asyncio.create_task(other.post("/api/chat", json=told(mesh, same, knows=knows))) for knows in (True, False)
    ]
    different: list[dict[str, Any]] = [
        {"output": {"a": 1, "b": [3]}},
        {"output": {"a": True, "b": [2]}},
        {"output": None, "state": "output-error", "errorText": "It rains."},
    ]
    for wrong in different:
        refused = await other.post("/api/chat", json=told(mesh, **wrong))
        assert refused.status_code == 409, refused.text
        (standing,) = [row["_id"] for row in await mesh.service.rows("messages") if row["role"] == "tool"]
        assert f"That one stands (message {standing})" in refused.text
        assert "'c1' of 'look'" in refused.text
    gate.set()
    for answer in [await first, *[await joined for joined in joining]]:
        assert (answer.status_code, answer.headers["x-run-id"]) == (200, run_id)
        assert '"Blue."' in answer.text
    await mesh.stored(run_id)
    # After the end as well.
    again = await other.post("/api/chat", json=told(mesh, same) | {"model": "openai:gpt-4o-mini"})
    assert again.headers["x-run-id"] == run_id
    refused = await one.post("/api/chat", json=told(mesh, "red", knows=False))
    assert refused.status_code == 409
    assert [row["role"] for row in await mesh.service.rows("messages")] == ["user", "assistant", "tool", "assistant"]
    assert len(mesh.worker.inputs) == 2


@pytest.mark.parametrize("outputs", [("blue", "blue"), ("blue", "red")])
async def test_two_tabs_at_once(mesh: SmallMesh, tabs: Tabs, outputs: tuple[str, str]) -> None:
    in_turn(mesh, calls("look"), *[says("Done.")] * 20)
    one, other = tabs
    await one.post("/api/chat", json={"id": "tabs", "messages": [ASK], "tools": {"look": LOOK}})
    await mesh.stored(mesh.worker.inputs[0].run_id)
    sending = [
        client.post("/api/chat", json=told(mesh, output) | {"tools": {"look": LOOK, f"own{number}": {}}})
        for number, (client, output) in enumerate(zip((one, other) * 3, outputs * 3, strict=True))
    ]
    answers = await asyncio.gather(*sending)
    runs = {answer.headers["x-run-id"] for answer in answers if answer.status_code == 200}
    (stands,) = [row["content"] for row in await mesh.service.rows("messages") if row["role"] == "tool"]
    assert len(runs) == 1
    assert [answer.status_code for answer in answers] == [200 if output == stands else 409 for output in outputs * 3]
    assert len(await mesh.service.rows("runs")) == 2


async def test_the_same_at_the_door_of_ag_ui(mesh: SmallMesh, tabs: Tabs) -> None:
    in_turn(mesh, calls("look"), says("Blue."), says("Never."))
    body = {"threadId": "t", "tools": [{"name": "look", "description": "Look."}]}
    asked = {"id": "1", "role": "user", "content": "hi"}
    one, other = tabs
    await one.post("/agui/run", json={**body, "runId": "r1", "messages": [asked]})
    await mesh.stored(mesh.worker.inputs[0].run_id)
    made = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    answer = {"id": mesh.worker.inputs[0].message_id, "role": "assistant", "toolCalls": [made]}

    async def tell(client: httpx2.AsyncClient, run: str, output: str) -> httpx2.Response:
        result = {"id": f"result-{run}", "role": "tool", "toolCallId": "c1", "content": output}
        return await client.post("/agui/run", json={**body, "runId": run, "messages": [asked, answer, result]})

    first, again, wrong = (
        await tell(one, "r2", "blue"),
        await tell(other, "r3", "blue"),
        await tell(other, "r4", "red"),
    )
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    # Each is a run of its own to its client, with the same answer in it.
    assert '"runId":"r3"' in again.text
    assert '"Blue."' in again.text
    assert (wrong.status_code, wrong.json()["code"]) == (409, "already_answered")
    assert len(await mesh.service.rows("runs")) == 2


async def test_outputs_whose_answer_failed_may_be_other_ones(mesh: SmallMesh, tabs: Tabs) -> None:
    end = {"code": "upstream_unavailable", "message": "Nobody there.", "usage": Usage(), "cost_microusd": None}

    def script(command: ExecuteRun) -> list[Any]:
        failed = [(e.RunFailed, {**end, "message_id": command.message_id})]
        return (calls("look"), failed, says("Red."))[len(mesh.worker.inputs) - 1]

    mesh.worker.script = script
    one, other = tabs
    await one.post("/api/chat", json={"id": "tabs", "messages": [ASK], "tools": {"look": LOOK}})
    await mesh.stored(mesh.worker.inputs[0].run_id)
    await one.post("/api/chat", json=told(mesh, "blue"))
    await mesh.stored(mesh.worker.inputs[1].run_id)
    second = await other.post("/api/chat", json=told(mesh, "red"))
    assert '"Red."' in second.text
    third = await one.post("/api/chat", json=told(mesh, "blue"))
    assert third.status_code == 409
