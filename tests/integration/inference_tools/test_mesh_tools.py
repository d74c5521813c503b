"""Tools of a NATS micro service, over a real server with the services' permissions."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import nats.micro
import pytest
from inference.tools.adapters.arguments import check_arguments
from inference.tools.adapters.mesh_tools import MeshTools
from inference.tools.domain.outcome import Output, ToolEnd, ToolFailedError
from inference.tools.ports import Tool, ToolContext
from inference.tools.run_tool import run_tool
from nats.aio.client import Client
from nats.micro.request import Request
from nats.micro.service import Service

SCHEMA = json.dumps({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]})


class Orders:
    """A service that offers tools the way the convention says."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.service: Service
        self.headers: list[dict[str, str]] = []
        self.refuse_first = 0

    async def start(self) -> None:
        self.service = await nats.micro.add_service(self.client, name="orders", version="1.2.0")
        await self.offer("orders_find", "tool.orders.find", self.find, {"everthread.side-effects": "false"})
        await self.offer("orders_slow", "tool.orders.slow", self.slow, {"everthread.timeout": "0.3"})
        await self.offer("orders_busy", "tool.orders.busy", self.busy, {"everthread.retries": "2"})
        await self.offer("orders_text", "tool.orders.text", self.text, {})
        await self.offer("orders_broken", "tool.orders.broken", self.find, {"everthread.schema": "{"})
        await self.offer("orders_elsewhere", "orders.elsewhere", self.find, {})
        await self.service.add_endpoint(name="plain", subject="orders.plain", handler=self.find)
        # The server knows them before another connection asks who is there.
        await self.client.flush()

    async def offer(self, name: str, subject: str, handler: Callable[[Request], Any], more: dict[str, str]) -> None:
        metadata = {"everthread.schema": SCHEMA, "everthread.description": f"{name} does it.", **more}
        await self.service.add_endpoint(name=name, subject=subject, handler=handler, metadata=metadata)

    async def find(self, request: Request) -> None:
        self.headers.append(request.headers or {})
        arguments = json.loads(request.data)
        if arguments["id"] == "none":
            await request.respond_error("404", "There is no such order.")
            return
        for done in (1, 2):
            await request.respond(json.dumps({"done": done}).encode(), headers={"Everthread-Progress": "1"})
        await request.respond(json.dumps({"id": arguments["id"], "state": "sent"}).encode())

    async def slow(self, _: Request) -> None:
        await asyncio.sleep(1)

    async def busy(self, request: Request) -> None:
        self.headers.append(request.headers or {})
        if len(self.headers) <= self.refuse_first:
            await request.respond_error("429", "Too many orders.")
        else:
            await request.respond(b'"at last"')

    async def text(self, request: Request) -> None:
        await request.respond(b"plain words")


@pytest.fixture
async def orders(provider: Client) -> AsyncIterator[Orders]:
    found = Orders(provider)
    await found.start()
    yield found
    if not provider.is_closed:
        await found.service.stop()


async def tools_of(worker: Client) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in await MeshTools(worker).tools()}


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_service_that_registers_is_found(worker: Client, orders: Orders) -> None:
    tools = await tools_of(worker)
    assert sorted(tools) == ["orders_busy", "orders_find", "orders_slow", "orders_text"]
    spec = tools["orders_find"].spec
    assert (spec.kind, spec.side_effects, spec.input_schema["required"]) == ("mesh", False, ["id"])
    assert tools["orders_text"].spec.side_effects


async def test_nobody_there(worker: Client) -> None:
    assert await MeshTools(worker).tools() == []


async def test_a_call_with_its_key_and_its_progress(
    worker: Client, orders: Orders, context: ToolContext, progress: list[Any]
) -> None:
    tool = (await tools_of(worker))["orders_find"]
    assert await tool.call({"id": "o1"}, context) == Output({"id": "o1", "state": "sent"})
    assert progress == [{"done": 1}, {"done": 2}]
    [headers] = orders.headers
    assert headers["Everthread-Idempotency-Key"] == "run_1:7"
    assert (headers["Everthread-Run"], headers["Everthread-Step"], headers["Everthread-User"]) == (
        "run_1",
        "7",
        "usr_1",
    )


async def test_an_endpoints_error_is_the_tools(worker: Client, orders: Orders, context: ToolContext) -> None:
    tool = (await tools_of(worker))["orders_find"]
    with pytest.raises(ToolFailedError, match="no such order") as failure:
        await tool.call({"id": "none"}, context)
    assert not failure.value.retryable


async def test_busy_is_tried_again_with_the_same_key(worker: Client, orders: Orders, context: ToolContext) -> None:
    orders.refuse_first = 1
    tool = (await tools_of(worker))["orders_busy"]
    end = await run_tool(tool, {"id": "o"}, context, check=check_arguments, now=now)
    assert isinstance(end, ToolEnd)
    assert (end.output, end.tries) == ("at last", 2)
    assert {headers["Everthread-Idempotency-Key"] for headers in orders.headers} == {"run_1:7"}


async def test_no_answer_in_time(worker: Client, orders: Orders, context: ToolContext) -> None:
    tool = (await tools_of(worker))["orders_slow"]
    end = await run_tool(tool, {"id": "o"}, context, check=check_arguments, now=now)
    assert isinstance(end, ToolEnd)
    assert end.error == "The tool orders_slow did not answer within 0.3 seconds."


async def test_words_that_are_no_json(worker: Client, orders: Orders, context: ToolContext) -> None:
    tool = (await tools_of(worker))["orders_text"]
    assert await tool.call({"id": "o"}, context) == Output("plain words")


async def test_a_service_that_went_away(worker: Client, orders: Orders, context: ToolContext) -> None:
    tool = (await tools_of(worker))["orders_find"]
    await orders.service.stop()
    await orders.client.close()
    with pytest.raises(ToolFailedError, match="not there") as failure:
        await tool.call({"id": "o"}, context)
    assert failure.value.retryable


async def test_what_was_found_is_kept_for_a_while(worker: Client, orders: Orders) -> None:
    source = MeshTools(worker, fresh_for=60)
    first = await source.tools()
    await orders.offer("orders_more", "tool.orders.more", orders.find, {})
    assert await source.tools() is first
    assert len(await MeshTools(worker).tools()) == len(first) + 1
