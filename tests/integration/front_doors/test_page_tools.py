"""Tools of a page at the AI SDK door, with the official client: called there, answered, and gone on with in the same message."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from contracts import events as e
from contracts.client_tools import decode_tools
from contracts.parts import Part, ToolCallPart
from contracts.usage import Usage
from msgspec import json
from rpc.v1 import conversation_pb2 as pb

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.mesh import Answer, usage
from tests.plain_http import plain_client

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOK: dict[str, Any] = {"description": "Look.", "inputSchema": SCHEMA}
ASK: dict[str, Any] = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}


def calls(*names: str, first: int = 1) -> list[Any]:
    """A model step that asks for these tools; `first` numbers the calls."""
    made = [
        (
            e.ToolCall,
            {"part": at, "tool_call_id": f"c{first + at}", "name": name, "input": {"n": at}, "state": "pending"},
        )
        for at, name in enumerate(names)
    ]
    return [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        *made,
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "tool_calls"}),
    ]


def says(text: str) -> list[Any]:
    return [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        (e.TextDelta, {"part": 0, "delta": text}),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "stop"}),
    ]


def in_turn(mesh: SmallMesh, *scripts: list[Any]) -> None:
    mesh.worker.script = lambda _: scripts[len(mesh.worker.inputs) - 1]


def http(mesh: SmallMesh) -> httpx2.AsyncClient:
    return plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer alice"}, timeout=30)


def shown(answer: dict[str, Any]) -> list[tuple[str, Any]]:
    """The last message, part by part."""
    return [
        (part["state"], part.get("output", part.get("errorText")))
        if part["type"].startswith("tool-")
        else ("text", part["text"])
        for part in answer["messages"][-1]["parts"]
        if part["type"] == "text" or part["type"].startswith("tool-")
    ]


async def until(settled: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not settled():
            await asyncio.sleep(0.005)


async def told_of(mesh: SmallMesh, run_id: str) -> list[tuple[str, list[Any]]]:
    """What the model is given for a run: the messages' roles, and their calls with what came of them."""
    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=run_id))
    parts = [(item.role, json.decode(item.parts_json or b"[]", type=list[Part])) for item in given.messages]
    return [
        (
            role,
            [
                (part.tool_call_id, part.state, part.output, part.error)
                for part in said
                if isinstance(part, ToolCallPart)
            ],
        )
        for role, said in parts
    ]


async def rows(mesh: SmallMesh) -> list[dict[str, Any]]:
    return sorted(await mesh.service.rows("messages"), key=lambda row: row["position"])


@pytest.mark.parametrize("transport", ["default", "workflow"])
async def test_a_page_carries_out_its_tools_and_the_message_goes_on(
    mesh: SmallMesh, clients: LiveClients, transport: str
) -> None:
    """Two rounds, one with two calls of which one fails; then the person goes on, behind all of it. The transport that comes back by
    itself is cut off in the second."""
    in_turn(mesh, calls("look", "ask"), calls("look", first=5), says("Blue."), says("Yes."))
    one = {"id": f"tools-{transport}", "bases": mesh.bases, "token": "alice", "transport": transport}
    tools = {"look": LOOK, "ask": {"description": "Ask."}}
    carries = {"look": {"colour": "blue"}, "ask": {"error": "nobody there"}}
    cuts = [None, 3] if transport == "workflow" else []
    answer = await clients.ask("chat", what="send", text="hi", tools=tools, carries=carries, cuts=cuts, **one)
    assert (answer["status"], answer["error"]) == ("ready", None)
    assert [message["role"] for message in answer["messages"]] == ["user", "assistant"]
    assert shown(answer) == [
        ("output-available", {"colour": "blue"}),
        ("output-error", "nobody there"),
        ("output-available", {"colour": "blue"}),
        ("text", "Blue."),
    ]
    assert len(answer["seen"]) == (4 if cuts else 3)
    message = answer["messages"][-1]
    stored = [command.message_id for command in mesh.worker.inputs]
    assert (message["id"], message["metadata"]["message_id"]) == (stored[0], stored[2])
    await mesh.stored(mesh.worker.inputs[-1].run_id)
    answer = await clients.ask("chat", what="send", text="Sure?", **one)
    assert shown(answer) == [("text", "Yes.")]
    found = await rows(mesh)
    assert [row["role"] for row in found] == [
        "user", "assistant", "tool", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert [row["parent_message_id"] for row in found] == ["", *(row["_id"] for row in found[:-1])]
    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=mesh.worker.inputs[1].run_id))
    brought = decode_tools(given.client_tools_json)
    assert brought is not None
    assert [(tool.name, tool.parameters) for tool in brought.tools] == [("look", SCHEMA), ("ask", None)]
    assert await told_of(mesh, mesh.worker.inputs[1].run_id) == [
        ("user", []),
        ("assistant", [("c1", "completed", {"colour": "blue"}, None), ("c2", "error", None, "nobody there")]),
    ]


async def test_a_reload_in_the_second_round_has_the_whole_message(mesh: SmallMesh, clients: LiveClients) -> None:
    """Cut in the answer to the outputs: the same page and pages without its messages, of both transports, are shown the same,
    calls and outputs included."""
    gate = asyncio.Event()
    start, text, *rest = says("Blue as ")
    in_turn(mesh, calls("look"), [start, text, gate, (e.TextDelta, {"part": 0, "delta": "the sky."}), *rest])
    one = {"id": "cut", "bases": mesh.bases, "token": "alice"}
    answer = await clients.ask(
        "chat", what="send", text="hi", tools={"look": LOOK}, carries={"look": "blue"}, cuts=[None, 3], **one
    )
    assert answer["status"] == "error"
    streams = mesh.gateways[0].streams
    await until(lambda: streams.open == 0)
    late = {**one, "chatId": "cut"}
    pages: list[dict[str, Any]] = [
        one,
        {**late, "id": "late"},
        {**late, "id": "counts", "transport": "workflow", "cuts": [8]},
    ]
    resuming = [asyncio.create_task(clients.ask("chat", what="resume", **page)) for page in pages]
    await until(lambda: streams.open == 3)
    gate.set()
    for page, before in zip(await asyncio.gather(*resuming), (1, 0, 0), strict=True):
        assert (page["status"], page["error"]) == ("ready", None)
        assert shown(page) == [("output-available", "blue"), ("text", "Blue as the sky.")]
        assert len(page["messages"]) == before + 1
        assert page["messages"][-1]["id"] == mesh.worker.inputs[0].message_id


async def test_a_person_answers_a_call_or_says_something_else(mesh: SmallMesh, clients: LiveClients) -> None:
    """Outputs with words behind them go in together; what was never answered is kept from the model."""
    in_turn(mesh, calls("ask"), calls("ask", first=2), says("Fine."), says("Bye."))
    one = {"id": "person", "bases": mesh.bases, "token": "alice"}
    first = await clients.ask("chat", what="send", text="hi", tools=[{"name": "ask"}], **one)
    assert shown(first) == [("input-available", None)]
    await mesh.stored(mesh.worker.inputs[0].run_id)
    second = await clients.ask("chat", what="send", text="Never mind.", **one)
    assert shown(second) == [("input-available", None)]
    told = {"tool": "ask", "toolCallId": "c2", "output": "yes"}
    third = await clients.ask("chat", what="output", output=told, **one)
    assert shown(third) == [("output-available", "yes"), ("text", "Fine.")]
    assert [row["role"] for row in await rows(mesh)] == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    both: list[dict[str, Any]] = third["messages"]
    stored = mesh.worker.inputs[1].message_id
    call = {**both[3]["parts"][1], "state": "output-available", "output": "later"}
    said = [*both[:3], {**both[3], "metadata": {"message_id": stored}, "parts": [call]}, {**ASK, "id": "u9"}]
    async with http(mesh) as client:
        answer = await client.post("/api/chat", json={"id": "person", "messages": said})
    assert answer.status_code == 200
    assert [(row["role"], row["content"]) for row in (await rows(mesh))[6:8]] == [("tool", "later"), ("user", "hi")]


async def test_a_page_that_keeps_no_metadata(mesh: SmallMesh) -> None:
    """Its message does not say how far it has come: what came of its calls does. The same outputs again are the same run."""
    in_turn(mesh, calls("look"), calls("look", first=2), says("Blue."), says("Yes."))

    def message(*outputs: str) -> dict[str, Any]:
        parts = [{"type": "tool-look", "toolCallId": one, "state": "output-available", "output": 1} for one in outputs]
        return {"id": mesh.worker.inputs[0].message_id, "role": "assistant", "parts": parts}

    runs = []
    async with http(mesh) as client:
        for outputs in ((), ("c1",), ("c1",), ("c1", "c2"), ("c1", "c2")):
            said = [ASK, *([message(*outputs)] if outputs else [])]
            runs.append(
                (
                    await client.post("/api/chat", json={"id": "bare", "messages": said, "tools": {"look": LOOK}})
                ).headers["x-run-id"]
            )
            await mesh.stored(runs[-1])
        last = [ASK, message("c1", "c2"), {**ASK, "id": "u2"}]
        runs.append((await client.post("/api/chat", json={"id": "bare", "messages": last})).headers["x-run-id"])
    assert [runs.index(run) for run in runs] == [0, 1, 1, 3, 3, 5]
    found = await rows(mesh)
    assert [row["parent_message_id"] for row in found] == ["", *(row["_id"] for row in found[:-1])]


async def test_an_approval_within_a_message_that_went_on(mesh: SmallMesh, clients: LiveClients) -> None:
    """The agent's own tool, asked for in the answer to the page's outputs: a page that comes later is asked too, and both go on
    with the whole message."""
    answer = Answer("approval:1")
    own = {"tool_call_id": "c9", "name": "pay"}
    wait = {"reason": "approval", "wait_id": answer.wait_id, "tool_call_id": "c9", "prompt": "May I?"}
    paying = [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        (e.ToolCall, {"part": 0, "input": {}, "state": "pending", **own}),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "tool_calls"}),
        (e.RunWaiting, wait),
        answer,
        (e.RunResumed, {"reason": "approved", "wait_id": answer.wait_id}),
        (e.ToolResult, {"state": "completed", "output": "paid", **own}),
        (e.StepStarted, {"step": 2, "kind": "model", "name": "m"}),
        (e.TextDelta, {"part": 1, "delta": "Done."}),
        usage(2),
        (e.StepFinished, {"step": 2, "finish_reason": "stop"}),
    ]
    in_turn(mesh, calls("look"), paying)
    one = {"id": "approves", "bases": mesh.bases, "token": "alice"}
    late = {**one, "id": "later", "chatId": "approves"}
    first = await clients.ask("chat", what="send", text="hi", tools={"look": LOOK}, carries={"look": "blue"}, **one)
    asked = await clients.ask("chat", what="resume", **late)
    for page in (first, asked):
        assert shown(page) == [("output-available", "blue"), ("approval-requested", None)]
    for page in (late, one):
        done = await clients.ask("chat", what="approve", approval={"id": answer.wait_id, "approved": True}, **page)
        assert (done["status"], done["error"]) == ("ready", None)
        assert shown(done) == [("output-available", "blue"), ("output-available", "paid"), ("text", "Done.")]
        assert done["messages"][-1]["id"] == mesh.worker.inputs[0].message_id


async def test_outputs_are_answered_again_where_the_answer_failed(mesh: SmallMesh, clients: LiveClients) -> None:
    end: dict[str, Any] = {
        "code": "upstream_unavailable",
        "message": "Nobody there.",
        "usage": Usage(),
        "cost_microusd": None,
    }
    mesh.worker.script = lambda command: (
        calls("look"), [(e.RunFailed, {**end, "message_id": command.message_id})], says("Blue."),
    )[len(mesh.worker.inputs) - 1]  # fmt: skip
    one = {"id": "fails", "bases": mesh.bases, "token": "alice"}
    first = await clients.ask("chat", what="send", text="hi", tools={"look": LOOK}, carries={"look": "blue"}, **one)
    assert first["error"] == "Error: Nobody there."
    await mesh.stored(mesh.worker.inputs[1].run_id)
    again = {"tool": "look", "toolCallId": "c1", "output": "blue"}
    second = await clients.ask("chat", what="output", output=again, **one)
    assert shown(second) == [("output-available", "blue"), ("text", "Blue.")]
    found = await rows(mesh)
    assert [row["role"] for row in found] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert found[4]["parent_message_id"] == found[1]["_id"]


async def test_a_chat_that_we_do_not_know_brings_its_calls_along(mesh: SmallMesh) -> None:
    part = {"type": "tool-look", "toolCallId": "x1", "state": "output-available", "input": {"at": 1}, "output": [1]}
    other = {"type": "dynamic-tool", "toolName": "ask", "toolCallId": "x2", "state": "output-error", "errorText": "no"}
    open_one = {"type": "tool-look", "toolCallId": "x3", "state": "input-available", "input": {}}
    said = [
        ASK,
        {"id": "elsewhere", "role": "assistant", "parts": [{"type": "text", "text": "Wait."}, part, open_one]},
        {**ASK, "id": "u2"},
        {"id": "again", "role": "assistant", "parts": [{"type": "step-start"}, other]},
    ]
    async with http(mesh) as client:
        answer = await client.post("/api/chat", json={"id": "old", "messages": said, "tools": {"look": LOOK}})
        again = await client.post("/api/chat", json={"id": "old", "messages": said, "tools": {"look": LOOK}})
    assert answer.headers["x-run-id"] == again.headers["x-run-id"]
    assert '"messageId":"again"' in answer.text
    assert await told_of(mesh, answer.headers["x-run-id"]) == [
        ("user", []),
        ("assistant", [("x1", "completed", [1], None)]),
        ("user", []),
        ("assistant", [("x2", "error", None, "no")]),
    ]
    copied = [said[0], {**said[1], "id": "msg_01JABCDEFGHJKMNPQRSTVWXYZ0"}, said[2]]
    async with http(mesh) as client:
        answer = await client.post("/api/chat", json={"id": "copied", "messages": copied})
    assert await told_of(mesh, answer.headers["x-run-id"]) == [
        ("user", []),
        ("assistant", [("x1", "completed", [1], None)]),
        ("user", []),
    ]


async def test_a_page_chooses_what_is_called(mesh: SmallMesh, clients: LiveClients) -> None:
    in_turn(mesh, calls("look"), says("Blue."), says("Yes."))
    answer = await clients.ask(
        "chat",
        id="choice",
        bases=mesh.bases,
        token="alice",
        what="send",
        text="hi",
        tools={"look": LOOK, "ask": {"description": "Ask."}},
        carries={"look": "blue"},
        body={"toolChoice": {"type": "tool", "toolName": "look"}},
    )
    assert (answer["status"], answer["error"]) == ("ready", None)
    kept = []
    for given in mesh.worker.inputs:
        run = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=given.run_id))
        brought = decode_tools(run.client_tools_json)
        assert brought is not None
        kept.append((brought.choice, brought.named))
    # The client sends the outputs with the body of the message that led to them.
    assert kept == [("function", "look")] * 2
    async with http(mesh) as client:
        body = {"id": "choice", "messages": [*answer["messages"], {**ASK, "id": "u2"}], "tools": {"look": LOOK}}
        await client.post("/api/chat", json=body)
    run = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=mesh.worker.inputs[2].run_id))
    brought = decode_tools(run.client_tools_json)
    assert brought is not None
    assert (brought.choice, brought.named) == ("auto", "")


async def test_what_is_wrong_is_refused_and_starts_nothing(mesh: SmallMesh) -> None:
    in_turn(mesh, calls("look", "look"), says("Done."))
    wrong: list[tuple[Any, str]] = [
        ([{"name": "a"}, {"name": "a"}], "`tools[1].name`: Two tools"),
        ([{"description": "x"}], "`tools[0]` is no tool"),
        ({"look": {"inputSchema": {"type": "array"}}}, "`tools.look.inputSchema`: Invalid schema"),
        ({"look": {"inputSchema": {"def": {"type": "object"}, "type": "object"}}}, "z.toJSONSchema()"),
        ({"look": {"type": "provider"}}, "`tools.look` is no tool"),
        ({"a b": {}}, "`tools.a b.name`"),
        ([{"name": "big", "description": "x" * 70_000}], "`tools`: The tools have 7"),
        ([{"name": f"t{number}"} for number in range(129)], "`tools`: There are 129"),
        (5, "not a chat request"),
    ]
    async with http(mesh) as client:

        async def post(**more: Any) -> httpx2.Response:
            return await client.post("/api/chat", json={"id": "c", "messages": [ASK], **more})

        for tools, sentence in wrong:
            refused = await post(tools=tools)
            assert (refused.status_code, sentence in refused.text) == (422, True), refused.text
        refused = await post(tools={"look": LOOK}, toolChoice={"type": "tool", "toolName": "other"})
        assert (refused.status_code, "names 'other'" in refused.text) == (422, True)
        refused = await post(tools=[{"name": "a"}], model="embedded:smollm2-135m")
        assert (refused.status_code, "cannot call any" in refused.text) == (422, True)
        assert await mesh.service.rows("runs") == []
        await post(
            tools={
                "look": {
                    "inputSchema": {"jsonSchema": {**SCHEMA, "$schema": "http://json-schema.org/draft-07/schema#"}}
                }
            }
        )
        answer_id = mesh.worker.inputs[0].message_id
        await mesh.stored(mesh.worker.inputs[0].run_id)

        def told(*outputs: tuple[str, str]) -> list[dict[str, Any]]:
            parts = [
                {"type": "tool-look", "toolCallId": call, "state": state, "input": {}, "output": 1}
                for call, state in outputs
            ]
            return [ASK, {"id": answer_id, "role": "assistant", "parts": parts}]

        done = "output-available"
        for outputs, sentence in (
            ([("c1", done)], "'c2' of 'look' has no output yet"),
            ([("c1", done), ("c2", "input-available")], "'c2' of 'look' has no output yet"),
            ([("c1", done), ("c2", done), ("c9", done)], "'c9', a call that was never made"),
            ([("c1", done), ("c1", done), ("c2", done)], "Two parts"),
            ([("c" * 201, done)], "1 to 200 characters"),
        ):
            refused = await post(messages=told(*outputs))
            assert (refused.status_code, sentence in refused.text) == (422, True), refused.text
        assert len(await mesh.service.rows("runs")) == 1
        first, again = [await post(messages=told(("c1", done), ("c2", done))) for _ in range(2)]
        assert first.headers["x-run-id"] == again.headers["x-run-id"]
        assert len(await mesh.service.rows("runs")) == 2
