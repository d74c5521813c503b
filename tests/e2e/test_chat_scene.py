"""A scene in two terminals, on real processes: one watches an agent search documents, ask, wait, be approved, hand over and
finish, while at each stage something is killed. What the terminal showed is what is stored, and the log says the same."""

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from everthread_client.mesh import Mesh as ToolMesh
from everthread_client.offering import ToolCall

from tests.agent_mesh import agent_mesh
from tests.mesh import COMMAND, Mesh, stored_answer
from tests.terminal import Terminal
from tests.upstream import expected_text

CLERK = """
name = "clerk"
description = "Looks things up, asks, and pays."
system_prompt = "Do as you are told."
model = "openai:gpt-4o-mini"
tools = ["document_search", "ask_user", "wait", "mesh:*"]
hand_off = ["closer"]

[limits]
steps = 50

[retrieval]
corpora = ["user"]
"""
SCENE = (
    'tokens=20 rate=7 call=document_search:{"query":"keel"}'
    ' then tokens=20 rate=7 seed=1 call=ask_user:{"question":"Which","options":["Vega","Fram"]}'
    ' then tokens=5 seed=2 call=wait:{"seconds":4}'
    ' then tokens=5 seed=3 call=pay:{"amount":7}'
    r' then tokens=5 seed=4 call=hand_off:{"agent":"closer","task":"tokens=25\u0020rate=7\u0020seed=5"}'
)
TEXT = "".join(
    expected_text(step)
    for step in ("tokens=20", "tokens=20 seed=1", "tokens=5 seed=2", "tokens=5 seed=3", "tokens=5 seed=4")
) + expected_text("tokens=25 seed=5")


@pytest.fixture(scope="module")
def scene_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with agent_mesh(tmp_path_factory.mktemp("scene"), {"clerk": CLERK}) as mesh:
        yield mesh


@pytest.fixture
async def paid(scene_mesh: Mesh) -> AsyncIterator[dict[str, int]]:
    """What the tool `pay`, an internal service in this process, was told to pay, by its idempotency key."""
    found: dict[str, int] = {}
    url = scene_mesh.command("nats-url").stdout.strip()
    async with await ToolMesh.connect(url, service="books") as books:

        @books.tool(side_effects=True, approval=True)
        async def pay(amount: int, call: ToolCall) -> str:
            """Pay an amount, once for each key."""
            found[call.key] = amount
            return f"paid {amount}"

        serving = asyncio.create_task(books.serve())
        try:
            yield found
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def learn(client: httpx2.AsyncClient) -> None:
    """A document to search."""
    text = "# Keel\n\nThe keel of the Vega was laid in 1871 in Bremen."
    headers = {"content-type": "text/markdown"}
    response = await client.post("/v1/documents", params={"title": "Ships"}, content=text, headers=headers)
    assert response.status_code == 202, response.text
    async with asyncio.timeout(30):
        while (await client.get(f"/v1/documents/{response.json()['id']}")).json()["state"] != "ready":
            await asyncio.sleep(0.1)


async def seen(terminal: Terminal, text: str) -> str:
    return await asyncio.to_thread(terminal.until, text, 40)


async def kill(mesh: Mesh, name: str) -> None:
    """SIGKILL for a part, once it has a process."""
    async with asyncio.timeout(40):
        while True:
            parts = json.loads((mesh.home / "state.json").read_text("utf-8"))["parts"]
            pid = next(part["pid"] for part in parts if part["name"] == name)
            # No process is the number 0, and that would be this process's group.
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return
            await asyncio.sleep(0.05)


async def kill_the_holder(mesh: Mesh, client: httpx2.AsyncClient, run_id: str) -> str:
    """SIGKILL for the worker that has the run now; its name."""
    state: dict[str, Any] = (await client.get(f"/v1/runs/{run_id}/state")).json()
    # `inference-1-<the id of its life>`
    name = str(state["worker"]).rpartition("-")[0]
    await kill(mesh, name)
    return name


def answer_on(screen: str) -> str:
    """The words of the answer alone: what stands after a speaker, without notes, without where lines were broken."""
    words: list[str] = []
    speaking = False
    for line in screen.splitlines():
        if re.fullmatch(r"(clerk|closer):", line):
            speaking = True
        elif line.startswith("you") or re.match(r"\[(about )?\d+ tokens in", line):
            speaking = False
        elif speaking and not line.startswith("["):
            words.append(line)
    return re.sub(r"\s+", "", "".join(words))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_search_ask_wait_approve_hand_over_finish_with_kills_in_between(
    scene_mesh: Mesh, paid: dict[str, int]
) -> None:
    await scene_mesh.wait_ready()
    arguments = [COMMAND, "chat", "--home", str(scene_mesh.home)]
    async with scene_mesh.client(1) as client:
        await learn(client)
        with Terminal(arguments, scene_mesh.environment, columns=400) as terminal:
            await seen(terminal, "you>")
            terminal.enter("/agent clerk")
            terminal.enter(SCENE)
            await seen(terminal, "river0")
            thread = re.search(r"thr_\w+", terminal.text())
            assert thread is not None
            run_id = (await client.get("/v1/runs", params={"thread_id": thread[0]})).json()["items"][0]["id"]
            terminal.type("meanwhile")

            # It writes; its worker dies. The other one goes on, and what was half said is said anew.
            first = await kill_the_holder(scene_mesh, client, run_id)
            await seen(terminal, "goes on with it: attempt 2")
            assert f"[{first} goes on" not in terminal.text()
            await seen(terminal, "[clerk: document_search -> ")
            assert "[source: Ships" in await seen(terminal, "[source: ")

            # It has searched, and writes again: that worker dies too.
            await kill_the_holder(scene_mesh, client, run_id)
            await seen(terminal, "attempt 3")

            # It asks, and nobody holds it. Conversation dies; another device answers.
            await seen(terminal, "[waits for input")
            await kill(scene_mesh, "conversation-1")
            with Terminal([*arguments, "--thread", thread[0]], scene_mesh.environment, columns=400) as elsewhere:
                await seen(elsewhere, "1 Vega, 2 Fram. answer>")
                elsewhere.enter("2")
                assert "goes on: answered by you" in await seen(terminal, "[goes on: answered")
            assert "you> meanwhile" in await seen(terminal, "you> meanwhile")

            # It waits for its time; the gateway that this terminal watches through dies, and a worker with it.
            await seen(terminal, "[waits for its time")
            await kill(scene_mesh, "gateway-1")
            await kill(scene_mesh, "inference-1")
            await seen(terminal, "[goes on: its time has come]")

            # It needs an approval; both workers die before it is given, here.
            await seen(terminal, "approve? [y/n")
            assert paid == {}
            for worker in ("inference-1", "inference-2"):
                await kill(scene_mesh, worker)
            terminal.enter("y")
            await seen(terminal, "[goes on: approved by you]")
            await seen(terminal, "[clerk: pay -> paid 7")

            # It hands over; the worker of the other agent dies in the middle of its answer.
            await seen(terminal, "closer:")
            await kill_the_holder(scene_mesh, client, run_id)
            await seen(terminal, " out, ")
            terminal.type("\x03")
            terminal.enter("/verify")
            screen = await seen(terminal, "what was shown is what is stored")

        message = await stored_answer(client, thread[0], run_id)
        assert (message["status"], message["content"]) == ("complete", TEXT)
        assert answer_on(screen) == re.sub(r"\s+", "", TEXT)
        verified = (await client.get(f"/v1/runs/{run_id}/verify")).json()
        assert verified["equal"] is True, verified
        calls = {part["name"]: part for part in message["parts"] if part["type"] == "tool_call"}
        assert calls["ask_user"]["output"] == {"answer": "Fram"}
        assert list(paid.values()) == [7]
        assert (await client.get(f"/v1/runs/{run_id}")).json()["attempts"] >= 4
    await scene_mesh.wait_ready()
