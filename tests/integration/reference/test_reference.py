"""The documents for programs and their pages for people: current, valid, and nothing to fetch from elsewhere."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any, get_args

import httpx2
import jsonschema_rs
import pytest
from contracts import facts, topology
from contracts.commands import AppendOutcome, AppendToThread, ExecuteRun, RunCommand
from contracts.events import RunEvent
from gateway.adapters.run_feeds import Feeds
from gateway.entrypoints.client_doors import open_doors
from gateway.entrypoints.wiring import Doors
from msgspec.structs import fields

from tests.clients.node import HERE, install
from tests.integration.gateway.world import World, start_world
from tests.plain_http import plain_client


@pytest.fixture
async def world() -> AsyncIterator[World]:
    started = await start_world()
    yield started
    await started.close()


async def fetch(world: World, path: str) -> httpx2.Response:
    """Without a token."""
    async with plain_client(base_url=world.base) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, path
    return answer


def properties(document: dict[str, Any], message: dict[str, Any]) -> set[str]:
    schema = message["payload"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema["properties"])


async def test_asyncapi_has_every_contract_and_is_what_its_own_schema_wants(world: World) -> None:
    document = (await fetch(world, "/asyncapi.json")).json()
    await asyncio.to_thread(install)
    schema = json.loads((HERE / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json").read_text("utf-8"))
    jsonschema_rs.validator_for(schema).validate(document)
    messages = list(document["components"]["messages"].values())
    kinds = (*get_args(RunEvent), *get_args(facts.Fact), *get_args(RunCommand))
    for kind in (*kinds, facts.FeedEntry, ExecuteRun, AppendToThread, AppendOutcome):
        wanted = {field.encode_name for field in fields(kind)}
        found = [one for one in messages if one["title"] == kind.__name__ and wanted <= properties(document, one)]
        assert found, kind
    assert [stream["name"] for stream in document["x-streams"]] == [stream.name for stream in topology.STREAMS]
    told = {consumer["name"] for stream in document["x-streams"] for consumer in stream["consumers"]}
    assert told == {consumer.name for consumer in topology.CONSUMERS}
    stored = {channel.get("x-stream") for channel in document["channels"].values()} - {None}
    assert stored == {stream.name for stream in topology.STREAMS}


async def test_openapi_has_every_door_and_no_more(world: World) -> None:
    document = (await fetch(world, "/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    jsonschema_rs.meta.validate({"$defs": document["components"]["schemas"]})
    feeds = Feeds(world.bus.run_log, piece_bytes=65_536)
    doors, _ = open_doors(world.wiring, Doors(threads=world.client_of_conversation, feeds=feeds))
    served = [path for path in document["paths"] if doors.serves(path)]
    assert {path.split("/")[1] for path in served} == {"api", "openai", "agui", "streams"}
    async with world.client() as client:
        for path in served:
            for method in document["paths"][path]:
                answer = await client.request(method, path.replace("{run_id}", "run_x"))
                # This gateway has no doors wired, so each is answered by FastAPI: not there, but never with a fault.
                assert answer.status_code in (404, 405), (method, path)
    operations = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(operations) == len(set(operations))


class Links(HTMLParser):
    """What a page would fetch or lead to, and how its elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src", "srcset", "action") and value:
                self.links.append(value)
            if name == "id" and value:
                self.ids.add(value)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("/openapi", ["/v1/threads/{thread_id}/messages", "/api/chat/{chat_id}/stream", "Idempotency-Key", "422"]),
        ("/asyncapi", ["cmd.thread.{thread_id}.append", "event-text.delta", "conversation-append", "from_sequence"]),
    ],
)
async def test_a_page_says_it_all_and_fetches_nothing(world: World, page: str, says: list[str]) -> None:
    answer = await fetch(world, page)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    read = Links()
    read.feed(answer.text)
    assert not {"script", "link", "img", "iframe"} & read.tags
    inner = {link for link in read.links if not link.startswith("#")}
    assert inner == {"/openapi.json", "/asyncapi"} or inner == {"/asyncapi.json", "/openapi"}
    assert {link.removeprefix("#") for link in read.links if link.startswith("#")} == read.ids
    assert not re.search(r"url\(|@import", answer.text)
    text = " ".join(read.texts)
    assert [word for word in says if word not in text and word != "422"] == []
