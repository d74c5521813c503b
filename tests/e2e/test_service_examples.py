"""The examples for internal services, as a reader runs them: against the mesh's own broker, as its user for services."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from inference.tools.adapters.mesh_tools import MeshTools
from inference.tools.domain.outcome import Output
from inference.tools.ports import ToolContext
from nats.aio.client import Client

from tests.mesh import ROOT, Mesh, messages
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
