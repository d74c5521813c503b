"""Tools that a client brings, on the real mesh with the official SDKs: asked for, carried out by the client, gone on with, on both
paths; and no call twice where the worker dies."""

import asyncio
import json
import signal
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

from tests.clients.live import LiveClients
from tests.mesh import Mesh, messages, stored_answer, to_the_end
from tests.upstream import UpstreamProcess, expected_text

MODEL = "openai:scripted-tools"
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PATHS = ["durable_event", "legacy_sync"]


def sdk(mesh: Mesh, user: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=mesh.token(user, "admin"), base_url=f"{mesh.urls[0]}/openai/v1", max_retries=0)


def asked_upstream(upstream: UpstreamProcess, content: str) -> list[dict[str, Any]]:
    return [call["body"] for call in upstream.calls() if call["content"] == content]


@pytest.mark.parametrize("path", PATHS)
async def test_a_conversation_with_tools(mesh: Mesh, upstream: UpstreamProcess, path: str) -> None:
    """The loop that every script has: ask, carry out what is asked for, send it back, until there is an answer."""
    question = (
        'tokens=3 call=get_weather:{"city":"Rome"} call=get_weather:{"city":"Oslo"} '
        f'then call=get_weather:{{"city":"Bari"}} then tokens=7 seed={PATHS.index(path)}'
    )
    said: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": question},
    ]
    asked: list[tuple[str, str]] = []
    async with sdk(mesh, "tool-loop") as client:
        while True:
            raw = await client.chat.completions.with_raw_response.create(
                model=MODEL,
                messages=said,
                tools=[WEATHER],
                parallel_tool_calls=len(said) > 2,
                extra_headers={"x-everthread-path": path},
            )
            answer = raw.parse()
            choice = answer.choices[0]
            said.append(choice.message.to_dict())  # type: ignore[arg-type]  # as scripts do
            assert answer.usage is not None
            assert answer.usage.prompt_tokens > 0
            if choice.finish_reason != "tool_calls":
                break
            assert len({call.id for call in choice.message.tool_calls or []}) == len(choice.message.tool_calls or [])
            for call in choice.message.tool_calls or []:
                assert call.type == "function"
                asked.append((call.function.name, json.loads(call.function.arguments)["city"]))
                said.append({"role": "tool", "tool_call_id": call.id, "content": f"sunny in {asked[-1][1]}"})
    assert asked == [("get_weather", "Rome"), ("get_weather", "Oslo"), ("get_weather", "Bari")]
    assert choice.message.content == expected_text(question.rpartition(" then ")[2])
    bodies = asked_upstream(upstream, question)
    assert [len(body["messages"]) for body in bodies] == [2, 5, 7]
    assert bodies[0]["tools"][-1] == WEATHER
    assert [body.get("parallel_tool_calls") for body in bodies] == [False, None, None]
    results = [message["content"] for message in bodies[2]["messages"] if message["role"] == "tool"]
    assert results == ["sunny in Rome", "sunny in Oslo", "sunny in Bari"]
    async with mesh.client(1, user="tool-loop") as http:
        run = (await http.get(f"/v1/runs/{raw.headers['x-run-id']}")).json()
        assert run["path"] == path
        stored = await messages(http, run["thread_id"])
        assert [message["role"] for message in stored] == [
            "system", "user", "assistant", "tool", "assistant", "tool", "assistant",
        ]  # fmt: skip


async def _streamed(mesh: Mesh, user: str, question: str) -> str:
    """A script that streams: the text is told once, the call is made once, the stream ends once. Returns the run."""
    text, calls, ends = "", [], []
    async with (
        sdk(mesh, user) as client,
        await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], tools=[WEATHER], stream=True
        ) as stream,
    ):
        run_id = stream.response.headers["x-run-id"]
        async for chunk in stream:
            (choice,) = chunk.choices
            text += choice.delta.content or ""
            calls += choice.delta.tool_calls or []
            ends += [choice.finish_reason] if choice.finish_reason else []
    assert text == expected_text(question.partition(" then ")[0])
    assert [(call.index, call.function.name) for call in calls if call.function] == [(0, "get_weather")]
    assert ends == ["tool_calls"]
    return run_id


async def _by_themselves(
    mesh: Mesh, clients: LiveClients, user: str, path: str, page: str, script: str
) -> dict[str, list[str]]:
    """useChat asks `page` and the loop of OpenAI's Node SDK asks `script`: both carry out what is asked for and have the answer in
    the end, the page in one message of what is stored in two. Returns the runs by question."""
    node: dict[str, Any] = {
        "token": mesh.token(user, "admin"),
        "headers": {"x-everthread-path": path},
        "carries": {"get_weather": "sunny"},
        "bases": mesh.urls,
    }
    function = WEATHER["function"]
    tools = {"get_weather": {"description": function["description"], "inputSchema": function["parameters"]}}
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": script}]}
    async with mesh.client(1, user=user) as http:
        assert (await http.patch("/v1/me/preferences", json={"default_model": MODEL})).status_code == 200
        shown, looped = await asyncio.gather(
            clients.ask("chat", id=user, what="send", text=page, tools=tools, **node),
            clients.ask("completionTools", tools=[WEATHER], body=body, **node),
        )
        assert (shown["error"], looped["error"]) == (None, None)
        assert looped["called"] == [["get_weather", {"city": "Rome"}]]
        assert looped["text"] == expected_text(script.rpartition(" then ")[2])
        first, last = expected_text(page.partition(" then ")[0]), expected_text(page.rpartition(" then ")[2])
        (_, answer) = shown["messages"]
        told = [part.get("text") or part["output"] for part in answer["parts"] if part["type"] != "step-start"]
        assert told == [first, "sunny", last]
        thread = await messages(http, answer["metadata"]["thread_id"])
        assert [(item["role"], item["content"]) for item in thread] == [
            ("user", page), ("assistant", first), ("tool", "sunny"), ("assistant", last),
        ]  # fmt: skip
        assert [answer["id"], answer["metadata"]["message_id"]] == [thread[1]["id"], thread[3]["id"]]
        runs = {
            question: [one["headers"]["x-run-id"] for one in seen]
            for question, seen in ((page, shown["seen"]), (script, looped["seen"]))
        }
        for run_id in (*runs[page], *runs[script]):
            assert (await http.get(f"/v1/runs/{run_id}")).json()["path"] == path
    assert {question: len(made) for question, made in runs.items()} == {page: 2, script: 2}
    return runs


async def _written(http: httpx2.AsyncClient, questions: set[str], characters: int) -> None:
    """Until the answer to each of these has so much text."""
    async with asyncio.timeout(20):
        found: set[str] = set()
        while found != questions:
            await asyncio.sleep(0.3)
            for thread in (await http.get("/v1/threads")).json()["items"]:
                items = await messages(http, thread["id"])
                if items and len(items[-1]["content"]) >= characters:
                    found.add(items[0]["content"])


async def test_workers_killed_before_the_call(mesh: Mesh, clients: LiveClients, upstream: UpstreamProcess) -> None:
    """Both of them in mid-answer, under a page and under scripts of both SDKs: each run goes on and ends once."""
    streamed, page, script = (
        f'tokens=120 rate=20 seed={seed} call=get_weather:{{"city":"Rome"}} then tokens=2 seed={seed}'
        for seed in (1, 2, 3)
    )
    async with mesh.client(1, user="tool-kill") as http:
        # The clients in Node take longest to begin, and none may have its answer before the last has begun.
        looping = asyncio.ensure_future(_by_themselves(mesh, clients, "tool-kill", "durable_event", page, script))
        await _written(http, {page, script}, 1)
        asking = asyncio.gather(_streamed(mesh, "tool-kill", streamed), looping)
        await _written(http, {streamed, page, script}, 40)
        killed = {name: mesh.signal(name, signal.SIGKILL) for name in ("inference-1", "inference-2")}
        run_id, runs = await asking
        for cut in (run_id, runs[page][0], runs[script][0]):
            names = [frame.event for frame in await to_the_end(http, cut)]
            assert names.count("attempt.started") > 1
            assert (names.count("tool.call"), names.count("run.completed"), names[-1]) == (1, 1, "run.completed")
    for question in (page, script):
        *_, told = asked_upstream(upstream, question)
        said = [message["role"] for message in told["messages"] if message["role"] != "system"]
        assert said == ["user", "assistant", "tool"]
    await mesh.wait_ready(changed=killed)


@pytest.mark.parametrize("path", PATHS)
async def test_outputs_of_two_tabs_at_two_gateways_at_once(mesh: Mesh, upstream: UpstreamProcess, path: str) -> None:
    """Several of each tab: the first stands and is answered once, the same are shown that answer, others are told."""
    question = f'call=get_weather:{{"city":"Rome"}} then tokens=40 rate=100 seed={7 + PATHS.index(path)}'
    function, user = WEATHER["function"], f"tool-tabs-{path}"
    asked = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": question}]}
    tools = {"get_weather": {"description": function["description"], "inputSchema": function["parameters"]}}
    headers = {"authorization": f"Bearer {mesh.token(user, 'admin')}", "x-everthread-path": path}
    async with mesh.client(0, user=user) as one, mesh.client(1, user=user) as other:

        async def post(client: httpx2.AsyncClient, *said: dict[str, Any], **more: Any) -> httpx2.Response:
            body = {"id": user, "model": MODEL, "messages": said, "tools": tools, **more}
            return await client.post("/api/chat", json=body, headers=headers)

        first = await post(one, asked)
        run = (await one.get(f"/v1/runs/{first.headers['x-run-id']}")).json()
        left = await stored_answer(one, run["thread_id"], run["id"])
        (call,) = [part for part in left["parts"] if part["type"] == "tool_call"]
        part = {
            "type": "tool-get_weather",
            "toolCallId": call["tool_call_id"],
            "state": "output-available",
            "input": {},
        }

        async def tell(number: int) -> tuple[str, httpx2.Response]:
            output = ("sunny", "rainy")[number % 2]
            message = {"id": left["id"], "role": "assistant", "parts": [part | {"output": output}]}
            # Each brings a tool of its own, so that none is a repetition of another by its body.
            more = {"tools": {**tools, f"own{number}": {}}}
            return output, await post((one, other)[number // 2 % 2], asked, message, **more)

        at_once = await asyncio.gather(*map(tell, range(6)))
        stored = await messages(one, run["thread_id"])
        assert [item["role"] for item in stored] == ["user", "assistant", "tool", "assistant"]
        stands, run_id = stored[2]["content"], stored[3]["run_id"]
        answered = await stored_answer(one, run["thread_id"], run_id)
        assert answered["content"] == expected_text(question.rpartition(" then ")[2])
        for told in (at_once, await asyncio.gather(*map(tell, range(6)))):
            shown = [answer for output, answer in told if output == stands]
            # While a legacy answer goes on, only the gateway that writes it can show it.
            elsewhere = {503} if (path, told) == ("legacy_sync", at_once) else set()
            assert {answer.status_code for answer in shown} - elsewhere == {200}
            assert {answer.headers["x-run-id"] for answer in shown if answer.status_code == 200} == {run_id}
            assert {answer.status_code for output, answer in told if output != stands} == {409}
    assert len(asked_upstream(upstream, question)) == 2


async def test_a_page_and_the_node_sdk_on_the_legacy_path(mesh: Mesh, clients: LiveClients) -> None:
    page, script = (
        f'tokens=3 seed={seed} call=get_weather:{{"city":"Rome"}} then tokens=9 seed={seed}' for seed in (4, 5)
    )
    await _by_themselves(mesh, clients, "tool-legacy", "legacy_sync", page, script)


@pytest.mark.parametrize("path", PATHS)
async def test_a_streamed_call_and_what_is_stored_of_it(mesh: Mesh, path: str) -> None:
    """Beside the agent's own tool, which is carried out here and never shown; and by the SDK's own accumulator."""
    question = 'call=time:{"timezone":"UTC"} then tokens=5 call=get_weather:{"city":"Rome"} then tokens=5'
    async with (
        sdk(mesh, f"tool-stream-{path}") as client,
        client.chat.completions.stream(
            model=MODEL,
            messages=[{"role": "user", "content": question}],
            tools=[WEATHER],
            stream_options={"include_usage": True},
            extra_headers={"x-everthread-path": path},
        ) as stream,
    ):
        chunks = [event.chunk async for event in stream if event.type == "chunk"]
        final = await stream.get_final_completion()
    message = final.choices[0].message
    assert [(call.function.name, call.function.arguments) for call in message.tool_calls or []] == [
        ("get_weather", '{"city":"Rome"}')
    ]
    assert message.content == expected_text("tokens=5")
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert ends == ["tool_calls"]
    assert final.usage is not None
    assert final.usage.completion_tokens == 5
    async with mesh.client(1, user=f"tool-stream-{path}") as http:
        (thread,) = (await http.get("/v1/threads")).json()["items"]
        answer = (await messages(http, thread["id"]))[-1]
        stored = await stored_answer(http, thread["id"], answer["run_id"])
        calls = [part for part in stored["parts"] if part["type"] == "tool_call"]
        assert [(call["name"], call["state"]) for call in calls] == [("time", "completed"), ("get_weather", "pending")]
        assert stored["cost_microusd"] > 0
        verified = (await http.get(f"/v1/runs/{answer['run_id']}/verify")).json()
        # Of a legacy run too: what was told of it was kept.
        assert verified["equal"] is True
        log = await to_the_end(http, answer["run_id"])
    assert [frame.event for frame in log].count("run.completed") == 1


async def test_a_response_leaves_its_calls_to_the_client(mesh: Mesh, upstream: UpstreamProcess) -> None:
    """function_call and function_call_output, by previous_response_id and by hand, streamed and found again."""
    question = 'call=get_weather:{"city":"Rome"} call=get_weather:{"city":"Oslo"} then tokens=6 seed=5'
    tool: Any = {"type": "function", **WEATHER["function"], "strict": None}
    async with sdk(mesh, "tool-response") as client:
        async with client.responses.stream(model=MODEL, input=question, tools=[tool], tool_choice="required") as stream:
            seen = [event.type async for event in stream]
            first = await stream.get_final_response()
        calls = [item for item in first.output if item.type == "function_call"]
        assert [json.loads(call.arguments)["city"] for call in calls] == ["Rome", "Oslo"]
        assert seen.count("response.function_call_arguments.delta") == 2
        assert seen.count("response.function_call_arguments.done") == 2
        assert (first.status, first.tool_choice, first.tools[0].type) == ("completed", "required", "function")
        outputs: list[Any] = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"sun {number}"}
            for number, call in enumerate(calls)
        ]
        second = await client.responses.create(model=MODEL, input=outputs, previous_response_id=first.id, tools=[tool])
        assert second.output_text == expected_text("tokens=6 seed=5")
        items = [item.to_dict() async for item in client.responses.input_items.list(second.id, order="asc")]
        assert [(item["call_id"], item["output"]) for item in items] == [
            (output["call_id"], output["output"]) for output in outputs
        ]
        cut = 4
        rest = [event async for event in await client.responses.retrieve(first.id, stream=True, starting_after=cut)]
        assert [event.type for event in rest] == seen[cut + 1 :]
        assert {call.call_id for call in calls} <= {
            getattr(getattr(event, "item", None), "call_id", "") for event in rest
        }
        again = await client.responses.retrieve(first.id)
        assert [item.to_dict()["id"] for item in again.output] == [item.to_dict()["id"] for item in first.output]
        by_hand = await client.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": question}, *[item.to_dict() for item in first.output], *outputs],  # type: ignore[list-item]  # as scripts do
            tools=[tool],
        )
        assert by_hand.output_text == second.output_text
        with pytest.raises(openai.BadRequestError, match="No tool output found"):
            await client.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)
        odd: Any = [{**outputs[0], "call_id": "call_unknown"}]
        with pytest.raises(openai.BadRequestError, match="No tool call found"):
            await client.responses.create(model=MODEL, input=odd, previous_response_id=first.id)
    bodies = asked_upstream(upstream, question)
    assert [body.get("tool_choice") for body in bodies] == ["required", None, None]
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["get_weather"]
    assert [
        [message["role"] for message in body["messages"] if message["role"] != "system"] for body in bodies[1:]
    ] == [["user", "assistant", "tool", "tool"]] * 2


async def test_what_a_script_demands_reaches_the_provider(mesh: Mesh, upstream: UpstreamProcess) -> None:
    question = "tokens=3 seed=77"
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    async with sdk(mesh, "tool-choice") as client:
        for choice in ("none", named, "auto"):
            answer = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": question}], tools=[WEATHER], tool_choice=choice
            )
            assert answer.choices[0].message.content == expected_text(question)
        clash: Any = {"type": "function", "function": {"name": "calculator"}}
        with pytest.raises(openai.BadRequestError) as taken:
            await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": question}], tools=[WEATHER, clash]
            )
        assert taken.value.code == "tool_name_taken"
    bodies = asked_upstream(upstream, question)
    assert [body.get("tool_choice") for body in bodies] == ["none", named, None]
    offered = [[tool["function"]["name"] for tool in body["tools"]] for body in bodies]
    assert offered[:2] == [["get_weather"]] * 2
    assert {"time", "calculator", "get_weather"} <= set(offered[2])


async def test_an_agui_agent_with_tools_of_its_own(mesh: Mesh, clients: LiveClients, upstream: UpstreamProcess) -> None:
    """The official client: its context is for one run, its tool is called, it tells the result with its next run, at another gateway; and one who comes after
    a cut sees the same conversation."""
    question = 'call=time:{"timezone":"UTC"} then tokens=3 call=get_weather:{"city":"Rome"} then tokens=4 seed=9'
    async with mesh.client(1, user="tool-agui") as http:
        assert (await http.patch("/v1/me/preferences", json={"default_model": MODEL})).status_code == 200
    agent: dict[str, Any] = {"id": "tool-agui", "threadId": "tools", "token": mesh.token("tool-agui")}
    tools = [{"name": "get_weather", "description": "The weather.", "parameters": WEATHER["function"]["parameters"]}]
    context = [{"description": "What the page shows", "value": "order 4711"}]
    first = await clients.ask(
        "agui", what="run", text=question, tools=tools, context=context, bases=mesh.urls[:1], **agent
    )
    assert (first["error"], first["outcome"]) == (None, "success")
    (left,) = first["pending"]
    told = await clients.ask("agui", what="tell", results={left: "sunny"}, tools=tools, bases=mesh.urls[1:], **agent)
    assert (told["error"], told["outcome"], told["pending"]) == (None, "success", [])
    assert told["messages"][-1]["content"] == expected_text("tokens=4 seed=9")
    roles = [(message["role"], len(message.get("toolCalls") or [])) for message in told["messages"]]
    assert roles == [("user", 0), ("assistant", 1), ("tool", 0), ("assistant", 1), ("tool", 0), ("assistant", 0)]
    again = await clients.ask("agui", what="resume", run=told["run"], bases=mesh.urls[:1], **agent)
    assert (again["error"], again["messages"]) == (None, told["messages"])
    unknown = await clients.ask("agui", what="tell", results={"call_unknown": "x"}, bases=mesh.urls[:1], **agent)
    assert "body_invalid" in unknown["error"]
    told_of_order = ["order 4711" in body["messages"][0]["content"] for body in asked_upstream(upstream, question)]
    # Both model calls of the first run, and not the next run's.
    assert told_of_order == [True, True, False]
    last = asked_upstream(upstream, question)[-1]["messages"]
    assert [message["role"] for message in last[1:]] == ["user", "assistant", "tool", "assistant", "tool"]
