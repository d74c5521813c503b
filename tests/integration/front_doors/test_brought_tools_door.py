"""Tools that a client brings, at the doors: what is refused, what is kept, what the model is given."""

import asyncio
from typing import Any

import httpx2
from contracts import events as e
from contracts.client_tools import decode_tools
from contracts.parts import Part, ToolCallPart
from msgspec import json
from rpc.v1 import conversation_pb2 as pb

from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.mesh import usage
from tests.openai_tools import asks, chat_tool, tells, tool
from tests.plain_http import plain_client

MODEL = "openai:gpt-4o-mini"
ASK: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
CHAT, RESPONSES = "/openai/v1/chat/completions", "/openai/v1/responses"


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def http(mesh: SmallMesh) -> httpx2.AsyncClient:
    return plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer alice"}, timeout=30)


async def test_what_is_wrong_is_refused_by_name_and_starts_nothing(mesh: SmallMesh) -> None:
    async with http(mesh) as client:
        for url, wrong, parameter in (
            (CHAT, {"messages": ASK, "tools": [chat_tool(), chat_tool()]}, "tools[1].function.name"),
            (CHAT, {"messages": [*ASK, asks("a"), tells("b")]}, "messages[2].tool_call_id"),
            (CHAT, {"messages": ASK, "tools": [chat_tool()], "model": "embedded:smollm2-135m"}, "tools"),
            (RESPONSES, {"input": "hi", "tools": [{"type": "web_search"}]}, "tools[0]"),
            (RESPONSES, {"input": [*ASK, {"type": "reasoning"}, {"role": "assistant", "content": "x"}]}, "input"),
            (
                RESPONSES,
                {"input": [{"type": "function_call_output", "call_id": "a", "output": "b"}]},
                "input[0].call_id",
            ),
        ):
            answer = await client.post(url, json={"model": MODEL, **wrong})
            error = answer.json()["error"]
            assert (answer.status_code, error["param"], error["type"]) == (400, parameter, "invalid_request_error")
        for tools in ([{"description": "no name"}], [tool(parameters=object_of(a=5))], [{"name": "a"}, {"name": "a"}]):
            body = {"threadId": "t", "runId": "r", "messages": [{"id": "1", **ASK[0]}], "tools": tools}
            refused = await client.post("/agui/run", json=body)
            assert (refused.status_code, refused.json()["code"]) == (422, "body_invalid")
    assert await mesh.service.rows("runs") == []


async def test_what_is_kept_and_what_the_model_is_given(mesh: SmallMesh) -> None:
    """The tools stand with the run; results that came without words are no empty message; a call whose arguments are no JSON is
    given back as the model wrote it."""
    mesh.worker.script = lambda _: [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        (e.ToolCall, {"part": 0, "tool_call_id": "c1", "name": "look", "input": '{"at":', "state": "pending"}),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "tool_calls"}),
    ]
    schema = object_of(at={"type": "string"})
    said = [*ASK, {**asks("a"), "content": "Wait."}, tells("a", content="", name="look")]
    body = {"model": MODEL, "messages": said, "tools": [chat_tool(parameters=schema, strict=True)]}
    async with http(mesh) as client:
        answer = (await client.post(CHAT, json=body)).json()
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [call["function"]["arguments"] for call in choice["message"]["tool_calls"]] == ['{"at":']
    run_id = mesh.worker.inputs[0].run_id
    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=run_id))
    tools = decode_tools(given.client_tools_json)
    assert tools is not None
    assert [(one.name, one.parameters, one.strict) for one in tools.tools] == [("look", schema, True)]
    assert [(item.role, item.content) for item in given.messages] == [("user", "hi"), ("assistant", "Wait.")]
    parts = json.decode(given.messages[1].parts_json, type=list[Part])
    assert [(part.tool_call_id, part.state, part.output) for part in parts if isinstance(part, ToolCallPart)] == [
        ("a", "completed", "")
    ]
    stored = await mesh.stored(run_id)
    assert stored["status"] == "complete"
    (thread,) = await mesh.service.rows("threads")
    assert thread["title"] == "hi"


async def test_results_and_words_at_once(mesh: SmallMesh) -> None:
    """function_call_output and a message of the user's behind it, as agents send them; and what was left stays a pair."""
    mesh.worker.script = lambda command: [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        *([(e.TextDelta, {"part": 0, "delta": "Done."})] if len(mesh.worker.inputs) > 1 else [
            (e.ToolCall, {"part": 0, "tool_call_id": "c1", "name": "look", "input": {}, "state": "pending"}),
        ]),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "stop"}),
    ]  # fmt: skip
    async with http(mesh) as client:
        first = (await client.post(RESPONSES, json={"model": MODEL, "input": "hi", "tools": [tool()]})).json()
        assert [item["type"] for item in first["output"]] == ["function_call"]
        output = {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "blue"}]}
        more = {"model": MODEL, "previous_response_id": first["id"]}
        odd = await client.post(RESPONSES, json={**more, "input": [*ASK, output]})
        assert (odd.status_code, odd.json()["error"]["param"]) == (400, "input")
        second = (
            await client.post(RESPONSES, json={**more, "input": [output, {"role": "user", "content": "And?"}]})
        ).json()
        assert second["output"][0]["content"][0]["text"] == "Done."
        items = (await client.get(f"{RESPONSES}/{second['id']}/input_items", params={"order": "asc"})).json()["data"]
    assert [(item["type"], item.get("output")) for item in items] == [
        ("function_call_output", "blue"),
        ("message", None),
    ]
    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=mesh.worker.inputs[1].run_id))
    assert [(item.role, bool(item.parts_json)) for item in given.messages] == [
        ("user", False), ("assistant", True), ("user", False),
    ]  # fmt: skip


async def test_words_behind_results_of_the_agents_own_tools_queue_while_the_answer_goes_on(mesh: SmallMesh) -> None:
    gate = asyncio.Event()
    call = {"part": 0, "tool_call_id": "c1", "name": "search", "input": {}}
    mesh.worker.script = lambda _: [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        (e.ToolCall, {**call, "state": "pending"}),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "tool_calls"}),
        gate,
    ]
    messages: list[dict[str, Any]] = [{"id": "1", **ASK[0]}]
    body = {"threadId": "t", "tools": [{"name": "look", "description": "Look."}]}
    async with http(mesh) as client:
        first = asyncio.create_task(client.post("/agui/run", json={**body, "runId": "r1", "messages": messages}))
        while not mesh.worker.inputs:
            await asyncio.sleep(0.005)
        function = {"name": "search", "arguments": "{}"}
        answer = {
            "id": mesh.worker.inputs[0].message_id,
            "role": "assistant",
            "toolCalls": [{"id": "c1", "type": "function", "function": function}],
        }
        messages += [answer, {"id": "2", "role": "tool", "toolCallId": "c1", "content": "blue"}]
        messages.append({"id": "3", "role": "user", "content": "And?"})
        second = asyncio.create_task(client.post("/agui/run", json={**body, "runId": "r2", "messages": messages}))
        while not second.done() and len(await mesh.service.rows("runs")) == 1:
            await asyncio.sleep(0.02)
        held = {run.get("held") for run in await mesh.service.rows("runs")}
        gate.set()
        assert [(await one).status_code for one in (first, second)] == [200, 200]
    assert held == {None, "queue"}
    rows = sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])
    assert [row["role"] for row in rows] == ["user", "assistant", "user", "assistant"]
    assert rows[2]["parent_message_id"] == answer["id"]
