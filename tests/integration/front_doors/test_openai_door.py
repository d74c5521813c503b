"""Both official OpenAI SDKs over HTTP: chat.completions and responses, streamed, whole, in the background, cut and resumed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import openai
import pytest
from bus.errors import UnavailableError
from contracts import events as e
from contracts.usage import Usage
from gateway.domain.records import Run
from rpc.v1 import conversation_pb2 as pb

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import ANSWER, SmallMesh
from tests.integration.front_doors.mesh import plain, usage
from tests.plain_http import plain_client

MODEL = "embedded:smollm2-135m"
ASK = [{"role": "user", "content": "hi"}]
STEP = (e.StepStarted, {"step": 1, "kind": "model", "name": "m"})
END = (e.StepFinished, {"step": 1, "finish_reason": "stop"})


@pytest.fixture
async def sdk(mesh: SmallMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="alice", base_url=mesh.bases[0] + "/openai/v1") as client:
        yield client


def one(mesh: SmallMesh, **more: Any) -> dict[str, Any]:
    return {"bases": mesh.bases, "token": "alice", **more}


async def test_a_completion_streams(mesh: SmallMesh, clients: LiveClients) -> None:
    body = {"model": MODEL, "messages": ASK, "stream_options": {"include_usage": True}}
    answer = await clients.ask("completions", body=body, **one(mesh))
    assert (answer["error"], answer["text"]) == (None, ANSWER)
    assert answer["completion"]["choices"][0]["finish_reason"] == "stop"
    assert answer["completion"]["usage"]["total_tokens"] == 12
    stored = await mesh.stored(answer["seen"][0]["headers"]["x-run-id"])
    assert stored["content"] == ANSWER


async def test_a_completion_in_python(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(model="smollm2-135m", messages=[{"role": "user", "content": "hi"}])
    assert whole.choices[0].message.content == ANSWER
    assert (whole.choices[0].finish_reason, whole.model) == ("stop", MODEL)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 5
    text = ""
    stream = await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True)
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
    assert text == ANSWER


async def test_an_answer_that_cannot_be_shown_is_not_asked_for_again(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    feeds, runs = mesh.gateways[0].feeds, []

    async def away(run: Run, *_: object) -> NoReturn:
        runs.append(run.id)
        raise UnavailableError("no servers")

    shown, feeds.counted = feeds.counted, away  # type: ignore[assignment,method-assign]  # the log, seen from this door
    with pytest.raises(openai.InternalServerError) as chat:
        await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.InternalServerError):
        await sdk.responses.create(model=MODEL, input="hi", stream=True)
    assert len(runs) == 2, "the SDK repeats nothing that was accepted"
    assert chat.value.response.headers["x-run-id"] == runs[0]
    assert runs[0] in chat.value.message
    feeds.counted = shown  # type: ignore[method-assign]  # it answers again
    assert [(await mesh.stored(run))["content"] for run in runs] == [ANSWER, ANSWER]


async def test_the_model_is_given_the_clients_history(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    await sdk.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Ciao"}]},
            {"role": "assistant", "content": "Ciao!"},
            {"role": "user", "content": "Where am I?"},
        ],
    )
    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=mesh.worker.inputs[0].run_id))
    assert [(item.role, item.content) for item in given.messages] == [
        ("system", "Be brief."),
        ("user", "Ciao"),
        ("assistant", "Ciao!"),
        ("user", "Where am I?"),
    ]


@pytest.mark.parametrize("again", ["Hello there, ", "Other words."])
async def test_a_lost_worker(mesh: SmallMesh, clients: LiveClients, sdk: openai.AsyncOpenAI, again: str) -> None:
    mesh.worker.script = lambda _: [
        STEP,
        (e.TextDelta, {"part": 0, "delta": "Hello "}),
        (e.TextDelta, {"part": 0, "delta": "there"}),
        (e.AttemptStarted, {"worker": "worker-2", "attempt": 2}),
        (e.TextRetracted, {"from_sequence": 3}),
        STEP,
        (e.TextDelta, {"part": 1, "delta": again}),
        (e.TextDelta, {"part": 1, "delta": "friend."}),
        usage(1),
        END,
    ]
    answer = await clients.ask("completions", body={"model": MODEL, "messages": ASK}, **one(mesh))
    if again.startswith("Hello"):
        assert (answer["error"], answer["text"]) == (None, again + "friend.")
    else:
        assert answer["code"] == "text_retracted"
    stored = await mesh.stored(answer["seen"][0]["headers"]["x-run-id"])
    assert stored["content"] == again + "friend."
    whole = await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert whole.choices[0].message.content == again + "friend."
    response = await clients.ask("responses", how="stream", body={"model": MODEL, "input": "hi"}, **one(mesh))
    assert (response["error"], response["last"]["output_text"]) == (None, again + "friend.")


async def test_a_failed_run_is_an_error_and_no_second_run(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    mesh.worker.script = lambda command: [
        STEP,
        (
            e.RunFailed,
            {
                "message_id": command.message_id,
                "code": "rate_limited",
                "message": "Too many.",
                "usage": Usage(),
                "cost_microusd": 0,
            },
        ),
    ]
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "rate_limit_exceeded"
    assert len(mesh.worker.inputs) == 1
    with pytest.raises(openai.APIError, match="Too many"):
        async for _ in await sdk.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True
        ):
            pass
    response = await sdk.responses.create(model=MODEL, input="hi")
    assert response.status == "failed"
    assert response.error is not None
    assert response.error.code == "rate_limit_exceeded"


async def test_cancelled_in_the_middle(mesh: SmallMesh, clients: LiveClients) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:10], gate, *plain(ANSWER)[10:]]
    body = {"model": MODEL, "messages": ASK}
    asking = asyncio.create_task(clients.ask("completions", body=body, **one(mesh)))
    while not mesh.worker.states or not next(iter(mesh.worker.states.values())).content:
        await asyncio.sleep(0.005)
    run_id = mesh.worker.inputs[0].run_id
    async with plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer alice"}) as http:
        assert (await http.post(f"/v1/runs/{run_id}/cancel")).status_code == 202
    gate.set()
    answer = await asking
    assert answer["completion"]["choices"][0]["finish_reason"] == "cancelled"
    stored = await mesh.stored(run_id)
    assert (stored["status"], stored["content"]) == ("cancelled", answer["text"])


async def test_a_response_streams_and_is_found_again(
    mesh: SmallMesh, clients: LiveClients, sdk: openai.AsyncOpenAI
) -> None:
    body = {"model": MODEL, "input": "hi", "instructions": "Be brief.", "metadata": {"a": "b"}}
    answer = await clients.ask("responses", how="stream", body=body, **one(mesh))
    assert (answer["error"], answer["last"]["output_text"], answer["deltas"]) == (None, ANSWER, ANSWER)
    assert answer["numbers"] == list(range(len(answer["numbers"])))
    found = await sdk.responses.retrieve(answer["last"]["id"])
    assert (found.status, found.output_text, found.metadata) == ("completed", ANSWER, {"a": "b"})
    assert found.instructions == "Be brief."
    assert [item.id for item in found.output] == [item["id"] for item in answer["last"]["output"]]
    items = await sdk.responses.input_items.list(found.id, order="asc")
    given = [item.model_dump() async for item in items]
    assert [(item["role"], item["content"][0]["text"]) for item in given] == [("system", "Be brief."), ("user", "hi")]
    again = await clients.ask("responses", how="by_id", response_id=found.id, **one(mesh))
    assert again["last"]["output_text"] == ANSWER
    assert again["numbers"] == answer["numbers"]


@pytest.mark.parametrize("tenth", [0, 3, 7, 10])
async def test_a_response_cut_and_resumed(mesh: SmallMesh, clients: LiveClients, tenth: int) -> None:
    frames = max(8, (len(plain(ANSWER)) + 6) * tenth // 10)
    cut = await clients.ask("responses", how="stream", body={"model": MODEL, "input": "hi"}, **one(mesh, cuts=[frames]))
    response = "resp_" + mesh.worker.inputs[0].run_id.partition("_")[2]
    after = cut["numbers"][-1]
    rest = await clients.ask("responses", how="plain", response_id=response, starting_after=after, **one(mesh))
    assert rest["error"] is None
    assert cut["numbers"] + rest["numbers"] == list(range(after + 1 + len(rest["numbers"])))
    assert cut["deltas"] + rest["deltas"] == ANSWER
    helper = await clients.ask("responses", how="by_id", response_id=response, starting_after=after, **one(mesh))
    assert helper["last"]["output_text"] == ANSWER
    assert helper["numbers"] == rest["numbers"]


async def test_a_background_response(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:10], gate, *plain(ANSWER)[10:]]
    made = await sdk.responses.create(model=MODEL, input="hi", background=True)
    assert made.status in ("queued", "in_progress")
    assert made.background is True
    while (now := await sdk.responses.retrieve(made.id)).output_text == "":
        await asyncio.sleep(0.01)
    assert now.status == "in_progress"
    assert ANSWER.startswith(now.output_text)
    gate.set()
    while (now := await sdk.responses.retrieve(made.id)).status == "in_progress":
        await asyncio.sleep(0.01)
    assert (now.status, now.output_text) == ("completed", ANSWER)


async def test_a_response_is_cancelled(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    mesh.worker.script = lambda _: [*plain(ANSWER)[:10], *[0.05] * 40, *plain(ANSWER)[10:]]
    made = await sdk.responses.create(model=MODEL, input="hi", background=True)
    while (await sdk.responses.retrieve(made.id)).output_text == "":
        await asyncio.sleep(0.01)
    stopped = await sdk.responses.cancel(made.id)
    assert stopped.status == "cancelled"
    again = await sdk.responses.cancel(made.id)
    assert (again.status, again.output_text) == ("cancelled", stopped.output_text)
    stored = await mesh.stored(mesh.worker.inputs[0].run_id)
    assert stored["content"] == stopped.output_text


async def test_a_conversation_and_its_end(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    first = await sdk.responses.create(model=MODEL, input="first")
    await mesh.stored(mesh.worker.inputs[0].run_id)
    second = await sdk.responses.create(model=MODEL, input="second", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    given = await mesh.service.stub.GetRunInput(pb.GetRunInputRequest(run_id=mesh.worker.inputs[1].run_id))
    assert [item.content for item in given.messages] == ["first", ANSWER, "second"]
    with pytest.raises(openai.ConflictError):
        await sdk.with_options(max_retries=0).responses.delete(first.id)
    third = await sdk.responses.create(model=MODEL, input="alone")
    await sdk.responses.delete(third.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(third.id)


async def test_models(sdk: openai.AsyncOpenAI) -> None:
    assert MODEL in [model.id async for model in sdk.models.list()]
    assert (await sdk.models.retrieve(MODEL)).owned_by == "embedded"
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("gpt-9")


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0]",
        ),
        ({"messages": [{"role": "user", "content": "x", "name": "bob"}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"no_such_thing": 1}, "no_such_thing"),
    ],
)
async def test_what_is_not_supported_is_refused_by_name(mesh: SmallMesh, wrong: dict[str, Any], parameter: str) -> None:
    body = {"model": MODEL, "messages": ASK, **wrong}
    async with plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer alice"}) as http:
        answer = await http.post("/openai/v1/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["type"]) == (parameter, "invalid_request_error")
    assert await mesh.service.rows("runs") == []


async def test_refusals_are_the_sdks_exceptions(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "hi"}])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as empty:
        await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": " "}])
    assert empty.value.code == "message_empty"
    for odd in ("resp_nonsense", "run_01JABCDEFGHJKMNPQRSTVWXYZ0"):
        with pytest.raises(openai.NotFoundError):
            await sdk.responses.retrieve(odd)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve("resp_01JABCDEFGHJKMNPQRSTVWXYZ0")
    with pytest.raises(openai.AuthenticationError) as nobody:
        await sdk.models.list(extra_headers={"Authorization": "none"})
    assert nobody.value.code == "invalid_api_key"


async def test_nobody_elses_response(mesh: SmallMesh, sdk: openai.AsyncOpenAI) -> None:
    made = await sdk.responses.create(model=MODEL, input="hi")
    async with openai.AsyncOpenAI(api_key="bob", base_url=mesh.bases[0] + "/openai/v1") as bob:
        for call in (
            bob.responses.retrieve,
            bob.responses.cancel,
            bob.responses.delete,
            bob.responses.input_items.list,
        ):
            with pytest.raises(openai.NotFoundError):
                await call(made.id)
        with pytest.raises(openai.BadRequestError):
            await bob.responses.create(model=MODEL, input="x", previous_response_id=made.id)
