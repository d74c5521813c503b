"""The examples for internal services, as a reader runs them: against the mesh's own broker, as its user for services."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from everthread_client.mesh import Mesh as Service
from inference.tools.adapters.mesh_tools import MeshTools
from inference.tools.domain.outcome import Output
from inference.tools.ports import ToolContext
from nats.aio.client import Client

from tests.mesh import ROOT, Mesh, create_thread, messages
from tests.upstream import expected_text

EXAMPLES = ROOT / "examples"


def environment(mesh: Mesh) -> dict[str, str]:
    given = mesh.command("nats-url")
    assert given.returncode == 0, given.stderr
    return os.environ | {
        "EVERTHREAD_URL": mesh.urls[0],
        "EVERTHREAD_TOKEN": mesh.token("reader"),
        "EVERTHREAD_NATS_URL": given.stdout.strip(),
    }


@asynccontextmanager
async def running(mesh: Mesh, script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A script of examples/, ended at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / script),
        *arguments,
        env=environment(mesh),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def test_the_publishers_event_and_answer_are_in_the_persons_thread(mesh: Mesh) -> None:
    question = "tokens=60 rate=120 seed=7"
    async with running(mesh, "nats_publisher.py", question) as process:
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode() + output.decode()
    said = output.decode().splitlines()
    assert [line.partition(" ")[0] for line in said[:3]] == ["appended", "rejected:", "answering"]
    assert "message_empty" in said[1]
    assert "\n".join(said[3:]).rstrip() == expected_text(question).rstrip()
    async with mesh.client(1, user="reader") as client:
        newest = (await client.get("/v1/threads", params={"limit": 1})).json()["items"][0]
        items = await messages(client, newest["id"])
    assert [(item["role"], item["content"]) for item in items] == [
        ("tool", "The parcel 4711 has left Rome."),
        ("user", question),
        ("assistant", expected_text(question)),
    ]
    assert (items[0]["parts"][0]["name"], items[0]["id"]) == ("order.shipped", said[0].split()[1])


async def chatted(client: httpx2.AsyncClient, thread: str, page: list[dict[str, Any]], text: str) -> str:
    """What useChat posts: all that the page shows, and one more. The id of the answer, which the page shows from now on."""
    page.append({"id": f"page-{len(page)}", "role": "user", "parts": [{"type": "text", "text": text}]})
    asked = {"id": thread, "trigger": "submit-message", "messages": page}
    async with client.stream("POST", "/api/chat", json=asked) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        parts = [line.removeprefix("data: ") async for line in response.aiter_lines() if line.startswith("data: {")]
    shown = [json.loads(part) for part in parts]
    answer: str = next(part["messageId"] for part in shown if part["type"] == "start")
    said = "".join(part["delta"] for part in shown if part["type"] == "text-delta")
    page.append({"id": answer, "role": "assistant", "parts": [{"type": "text", "text": said}]})
    return said


async def test_a_chat_page_goes_on_behind_an_event_that_it_has_not_heard_of(mesh: Mesh) -> None:
    given = await asyncio.to_thread(mesh.command, "nats-url")
    page: list[dict[str, Any]] = []
    async with (
        mesh.client(0, user="reader") as client,
        await Service.connect(given.stdout.strip(), service="orders") as orders,
    ):
        thread = await create_thread(client, model="openai:gpt-4o-mini")
        user_id = (await client.get("/v1/me")).json()["id"]
        await chatted(client, thread, page, "tokens=3")
        await orders.append(thread, "It has left Rome.", user_id=user_id, event="order.shipped")
        # The scripted model says what it was sent.
        assert "[order.shipped] It has left Rome." in await chatted(client, thread, page, "echo")
        along = (await client.get(f"/v1/threads/{thread}/messages?branch=active")).json()["items"]
        branches = (await client.get(f"/v1/threads/{thread}/branches")).json()["items"]
    assert [item["role"] for item in along] == ["user", "assistant", "tool", "user", "assistant"]
    assert len(branches) == 1


async def test_the_tool_is_found_and_called_as_inference_does_it(mesh: Mesh) -> None:
    told: list[Any] = []
    context = ToolContext(
        run_id="run", thread_id="thread", step=1, idempotency_key="run:1", user_id="user", progress=told.append
    )
    url = await asyncio.to_thread(mesh.command, "nats-url", "--user", "inference")
    async with running(mesh, "mesh_tool.py") as process:
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"offering track_parcel"
        client = Client()
        await client.connect(url.stdout.strip(), inbox_prefix=b"_INBOX_inference")
        source = MeshTools(client, fresh_for=0)
        tools = {tool.spec.name: tool for tool in await source.tools()}
        while "track_parcel" not in tools:
            tools = {tool.spec.name: tool for tool in await source.tools()}
        found = await tools["track_parcel"].call({"number": "4711"}, context)
        await client.close()
    assert found == Output({"carrier": "Tiber Express", "place": "Bologna"})
    assert told == [{"asking": "the carrier"}]
