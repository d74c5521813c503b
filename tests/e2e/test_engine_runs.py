"""Runs of several steps on real processes: tools over the mesh, questions, approvals, waits and hand-overs, with processes
killed in between. One end each, tools told one key for each call, the bill to the micro-dollar."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from everthread_client.mesh import Mesh as ToolMesh
from everthread_client.offering import ToolCall

from tests.agent_mesh import agent_mesh
from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end
from tests.sse import Frame
from tests.upstream import expected_text

HELPER = """
name = "helper"
description = "Does what the script says."
system_prompt = "Do as you are told."
model = "openai:gpt-4o-mini"
tools = ["note", "pay", "slow", "ask_user", "wait", "mesh:*"]
hand_off = ["closer"]

[limits]
steps = 50
"""
WORKERS = ("inference-1", "inference-2")


@pytest.fixture(scope="module")
def engine_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with agent_mesh(tmp_path_factory.mktemp("engine"), {"helper": HELPER}) as mesh:
        yield mesh


class Services:
    """Internal services that offer tools, in this process: they outlive every worker."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []
        self.paid: dict[str, int] = {}
        self.asked_to_pay = 0
        self.slow: list[str] = []
        self.slow_may_end = asyncio.Event()


@pytest.fixture
async def services(engine_mesh: Mesh) -> AsyncIterator[Services]:
    found = Services()
    url = engine_mesh.command("nats-url").stdout.strip()
    async with await ToolMesh.connect(url, service="books") as mesh:

        @mesh.tool(side_effects=True)
        async def note(text: str, call: ToolCall) -> dict[str, str]:
            """Write something down."""
            found.noted.append((call.key, text))
            return {"noted": text}

        @mesh.tool(side_effects=True, approval=True)
        async def pay(amount: int, call: ToolCall) -> str:
            """Pay an amount, once for each key."""
            found.asked_to_pay += 1
            found.paid[call.key] = amount
            return f"paid {amount}"

        @mesh.tool(side_effects=True)
        async def slow(call: ToolCall) -> str:
            """Take a while."""
            found.slow.append(call.key)
            await call.progress({"begun": len(found.slow)})
            await found.slow_may_end.wait()
            return "done"

        serving = asyncio.create_task(mesh.serve())
        try:
            await engine_mesh.wait_ready()
            yield found
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def ask(client: httpx2.AsyncClient, content: str) -> tuple[str, str]:
    thread = await create_thread(client)
    accepted = await send(client, thread, content, agent="helper")
    return thread, accepted["run_id"]


@asynccontextmanager
async def killing(mesh: Mesh, *names: str) -> AsyncIterator[None]:
    """Kill these processes at once, do what is inside, then wait until they are back."""
    # The services behind the tools live in this process: they must be able to answer meanwhile.
    before = {name: await asyncio.to_thread(mesh.signal, name, signal.SIGKILL) for name in names}
    yield
    await mesh.wait_ready(changed=before)


async def until(client: httpx2.AsyncClient, run_id: str, wanted: str, within: float = 30) -> dict[str, Any]:
    """The folded state of the run once its status is `wanted`."""
    state: dict[str, Any] = {}
    async with asyncio.timeout(within):
        while state.get("status") != wanted:
            response = await client.get(f"/v1/runs/{run_id}/state")
            state = response.json() if response.status_code == 200 else {}
            await asyncio.sleep(0.1)
    return state


async def check(client: httpx2.AsyncClient, thread: str, run_id: str, text: str) -> tuple[list[Frame], dict[str, Any]]:
    """One end, the last event; the whole text, stored as it was shown; log and message agree; the bill is the provider's."""
    seen = await to_the_end(client, run_id)
    ends = [frame for frame in seen if frame.event in ("run.completed", "run.failed", "run.cancelled")]
    assert [frame.event for frame in ends] == ["run.completed"], ends[0].json
    message = await stored_answer(client, thread, run_id)
    assert (message["status"], message["content"]) == ("complete", text)
    verified: dict[str, Any] = {"equal": None}
    async with asyncio.timeout(15):
        # The answer is shown from the log a moment before it is stored.
        while verified["equal"] is None:
            verified = (await client.get(f"/v1/runs/{run_id}/verify")).json()
            await asyncio.sleep(0.05)
    assert verified["equal"] is True, verified
    usages = [frame.json for frame in seen if frame.event == "usage"]
    for entry in usages:
        used = entry["usage"]
        full, cached = used["input_tokens"] - used["cached_tokens"], used["cached_tokens"]
        # 1 USD a million for input, half of it where cached, 2 for output; half a micro-dollar is rounded up.
        assert entry["cost_microusd"] == (2 * full + cached + 1) // 2 + 2 * used["output_tokens"]
    assert message["cost_microusd"] == sum(entry["cost_microusd"] for entry in usages)
    results = Counter(frame.json["tool_call_id"] for frame in seen if frame.event == "tool.result")
    assert set(results.values()) <= {1}
    return seen, message


async def test_killed_while_a_tool_runs(engine_mesh: Mesh, services: Services) -> None:
    content = 'tokens=4 call=note:{"text":"a"} call=slow:{} then tokens=6 seed=2'
    async with engine_mesh.client() as client:
        thread, run_id = await ask(client, content)
        async with asyncio.timeout(30):
            while not services.slow:
                await asyncio.sleep(0.05)
        async with killing(engine_mesh, *WORKERS):
            async with asyncio.timeout(40):
                while len(services.slow) < 2:
                    await asyncio.sleep(0.05)
            services.slow_may_end.set()
        seen, _ = await check(client, thread, run_id, expected_text(content))
    assert len(set(services.slow)) == 1
    assert [text for _, text in services.noted] == ["a"]
    # The step that asked for the tools had finished, and was not made again.
    asked = [frame.json["step"] for frame in seen if frame.event == "step.started" and frame.json["kind"] == "model"]
    assert asked == [1, 4]


@pytest.mark.slow
async def test_killed_between_two_steps_again_and_again(engine_mesh: Mesh, services: Services) -> None:
    texts = [f"n{number}" for number in range(6)]
    calls = " then ".join(
        f'tokens=3 rate=20 seed={number} call=note:{{"text":"{text}"}}' for number, text in enumerate(texts)
    )
    content = f"{calls} then tokens=5 seed=9"
    async with engine_mesh.client() as client:
        thread, run_id = await ask(client, content)
        for noted in (1, 4):
            async with asyncio.timeout(60):
                while len(services.noted) < noted:
                    await asyncio.sleep(0.01)
            async with killing(engine_mesh, *WORKERS):
                pass
        await check(client, thread, run_id, expected_text(content))
    assert sorted({text for _, text in services.noted}) == texts
    assert len({key for key, _ in services.noted}) == len(texts)


@pytest.mark.slow
async def test_everything_restarts_while_a_run_waits(engine_mesh: Mesh, services: Services) -> None:
    """A question and an approval, with all workers, conversation and a gateway killed meanwhile; a time in between."""
    content = 'tokens=2 call=ask_user:{"question":"Which?"} then call=wait:{"seconds":1} then call=pay:{"amount":7} then tokens=5'
    everyone = (*WORKERS, "conversation-1", "gateway-1")
    async with engine_mesh.client(1) as client:
        thread, run_id = await ask(client, content)
        state = await until(client, run_id, "waiting")
        assert state["waiting"]["reason"] == "input"
        async with killing(engine_mesh, *everyone):
            pass
        response = await client.post(f"/v1/runs/{run_id}/input", json={"value": {"answer": "This one."}})
        assert response.status_code == 202, response.text
        async with engine_mesh.client(0) as elsewhere:
            response = await elsewhere.post(f"/v1/runs/{run_id}/input", json={"value": {"answer": "That one."}})
            assert response.status_code == 409, response.text
        async with asyncio.timeout(40):
            while (state.get("waiting") or {}).get("reason") != "approval":
                response = await client.get(f"/v1/runs/{run_id}/state")
                state = response.json() if response.status_code == 200 else {}
                await asyncio.sleep(0.1)
        assert services.asked_to_pay == 0
        async with killing(engine_mesh, *everyone):
            pass
        response = await client.post(f"/v1/runs/{run_id}/approve", json={"approved": True})
        assert response.status_code == 202, response.text
        seen, message = await check(client, thread, run_id, expected_text(content))
    assert list(services.paid.values()) == [7]
    calls = [part for part in message["parts"] if part["type"] == "tool_call"]
    assert [call["state"] for call in calls] == ["completed"] * 3
    assert calls[0]["output"] == {"answer": "This one."}
    assert [frame.json["reason"] for frame in seen if frame.event == "run.resumed"] == ["input", "timer", "approved"]


async def test_stopped_while_a_tool_runs_within_a_second(engine_mesh: Mesh, services: Services) -> None:
    async with engine_mesh.client() as client:
        thread, run_id = await ask(client, "tokens=2 call=slow:{} then tokens=5")
        async with asyncio.timeout(30):
            while not services.slow:
                await asyncio.sleep(0.02)
        response = await client.post(f"/v1/runs/{run_id}/cancel")
        assert response.status_code == 202, response.text
        async with asyncio.timeout(5):
            seen = await to_the_end(client, run_id)
        message = await stored_answer(client, thread, run_id)
    assert seen[-1].event == "run.cancelled"
    assert [part["state"] for part in message["parts"] if part["type"] == "tool_call"] == ["error"]


async def test_handed_over_and_added_to_on_the_way(engine_mesh: Mesh, services: Services) -> None:
    content = "tokens=2 call=slow:{} then tokens=90"
    async with engine_mesh.client() as client:
        thread, run_id = await ask(client, content)
        async with asyncio.timeout(30):
            while not services.slow:
                await asyncio.sleep(0.02)
        more = 'call=hand_off:{"agent":"closer","task":"tokens=7"} then tokens=1'
        response = await client.post(f"/v1/runs/{run_id}/steer", json={"content": more})
        assert response.status_code == 202, response.text
        services.slow_may_end.set()
        seen, _ = await check(client, thread, run_id, expected_text("tokens=2") + expected_text("tokens=7"))
    by_agent = Counter(frame.json.get("agent") for frame in seen if frame.event == "text.delta")
    assert set(by_agent) == {"helper", "closer"}
    assert [frame.event for frame in seen].count("run.steered") == 1


async def test_the_same_tools_without_waits_on_the_legacy_path(engine_mesh: Mesh, services: Services) -> None:
    content = 'tokens=3 call=note:{"text":"a"} call=wait:{"seconds":60} then tokens=6 seed=2'
    async with engine_mesh.client() as client:
        client.headers["x-everthread-path"] = "legacy_sync"
        thread, run_id = await ask(client, content)
        seen = await to_the_end(client, run_id)
        message = await stored_answer(client, thread, run_id)
    assert (seen[-1].event, message["content"]) == ("run.completed", expected_text(content))
    calls = [part for part in message["parts"] if part["type"] == "tool_call"]
    assert [call["state"] for call in calls] == ["completed", "error"]
    assert "not possible here" in calls[1]["error"]


async def test_workers_killed_while_a_timer_and_while_an_approval_waits(engine_mesh: Mesh, services: Services) -> None:
    content = 'tokens=2 call=wait:{"seconds":3} then call=pay:{"amount":5} call=note:{"text":"b"} then tokens=4 seed=3'
    async with engine_mesh.client() as client:
        thread, run_id = await ask(client, content)
        for reason in ("timer", "approval"):
            state = await until(client, run_id, "waiting")
            while state["waiting"]["reason"] != reason:
                state = await until(client, run_id, "waiting")
            async with killing(engine_mesh, *WORKERS):
                pass
        assert services.asked_to_pay == 0
        response = await client.post(f"/v1/runs/{run_id}/approve", json={"approved": True})
        assert response.status_code == 202, response.text
        seen, _ = await check(client, thread, run_id, expected_text(content))
    assert [frame.json["reason"] for frame in seen if frame.event == "run.resumed"] == ["timer", "approved"]
    assert (services.asked_to_pay, list(services.paid.values())) == (1, [5])
    assert [text for _, text in services.noted] == ["b"]
    started = {
        frame.json["tool_call_id"]: frame.json["step"]
        for frame in seen
        if frame.event == "step.started" and frame.json["kind"] == "tool"
    }
    names = {frame.json["tool_call_id"]: frame.json["name"] for frame in seen if frame.event == "tool.call"}
    keys = {names[call]: f"{run_id}:{step}" for call, step in started.items()}
    assert (list(services.paid), [key for key, _ in services.noted]) == ([keys["pay"]], [keys["note"]])
