"""The index on a Qdrant server, against a server of ours that answers that part of its REST API with the same engine."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge as edge
from aiohttp import web
from bus.memory import MemoryBus
from contracts.ids import DOCUMENT, USER, new_id
from inference.retrieval.adapters.bus_corpus_log import BusCorpusLog
from inference.retrieval.adapters.document_splitter import DocumentSplitter
from inference.retrieval.adapters.server_index import ServerIndex
from inference.retrieval.adapters.wordllama_embeddings import WordLlamaEmbeddings
from inference.retrieval.handlers.delete_document import delete_document
from inference.retrieval.handlers.ingest_document import ingest_document
from inference.retrieval.handlers.search_corpora import Search
from inference.retrieval.ports import CorpusUnavailableError, Document

AT = "2026-11-21T03:17:47.123Z"


class Server:
    """The calls that the index makes, on shards of the embedded engine; a collection that is missing is 404."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shards = folder, dict[str, Any]()
        self.asked: list[tuple[str, str, Any]] = []
        self.away = False

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if self.away:
            return web.Response(status=503)
        body = json.loads(await request.read())
        _, _, name, *rest = request.path.split("/")
        path = "/".join(rest)
        self.asked.append((request.method, path, body))
        shard = self.shards.get(name)
        if (request.method, path) == ("PUT", ""):
            return self._create(name, body)
        if shard is None:
            return web.json_response({"status": {"error": "Not found"}}, status=404)
        if (request.method, path) == ("PUT", "points"):
            shard.update(edge.UpdateOperation.upsert_points([_point(each) for each in body["points"]]))
        elif path == "points/delete":
            operation = (
                edge.UpdateOperation.delete_points(body["points"])
                if "points" in body
                else edge.UpdateOperation.delete_points_by_filter(_filter(body["filter"]))
            )
            shard.update(operation)
        elif path == "points":
            found = shard.retrieve(body["ids"], True, False)
            return web.json_response({"result": [{"id": str(each.id), "payload": each.payload} for each in found]})
        elif path == "points/query/batch":
            return web.json_response({"result": [_query(shard, each) for each in body["searches"]]})
        return web.json_response({"result": True})

    def _create(self, name: str, body: Any) -> web.Response:
        if name in self.shards:
            return web.json_response({"status": {"error": f"Collection `{name}` already exists!"}}, status=409)
        assert body["vectors"]["dense"]["distance"] == "Cosine"
        assert body["sparse_vectors"] == {"text": {"modifier": "idf"}}
        folder = self.folder / name
        folder.mkdir()
        size = body["vectors"]["dense"]["size"]
        config = edge.EdgeConfig(
            vectors={"dense": edge.EdgeVectorParams(size, edge.Distance.Cosine)},
            sparse_vectors={"text": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        )
        self.shards[name] = edge.EdgeShard.create(str(folder), config)
        return web.json_response({"result": True})


def _vector(value: Any) -> Any:
    return edge.SparseVector(value["indices"], value["values"]) if isinstance(value, dict) else value


def _point(value: Any) -> edge.Point:
    return edge.Point(value["id"], {name: _vector(each) for name, each in value["vector"].items()}, value["payload"])


def _filter(value: Any) -> edge.Filter:
    return edge.Filter(
        must=[
            edge.FieldCondition(key=each["key"], match=edge.MatchValue(each["match"]["value"]))
            for each in value["must"]
        ]
    )


def _query(shard: Any, value: Any) -> Any:
    query = edge.Query.Nearest(_vector(value["query"]), value["using"])
    found = shard.query(
        edge.QueryRequest(limit=value["limit"], query=query, filter=_filter(value["filter"]), with_payload=True)
    )
    return {"points": [{"id": str(each.id), "score": each.score, "payload": each.payload} for each in found]}


class World:
    def __init__(self, server: Server, url: str) -> None:
        self.server, self.url = server, url
        self.log = BusCorpusLog(MemoryBus("test"))
        self.embeddings = WordLlamaEmbeddings()
        self.indexes: list[ServerIndex] = []

    def worker(self) -> Search:
        index = ServerIndex(self.url, self.embeddings.name, self.embeddings.dimensions, api_key="k")
        self.indexes.append(index)
        return Search(self.log, index, self.embeddings)

    async def ingest(self, corpus: str, text: str) -> Any:
        document = Document(
            corpus=corpus, document_id=new_id(DOCUMENT), title="Notes", media_type="text/plain", data=text.encode()
        )
        return await ingest_document(
            document, log=self.log, splitter=DocumentSplitter(), embeddings=self.embeddings, at=AT
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    server = Server(tmp_path)
    runner = web.ServerRunner(web.Server(server))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    found = World(server, f"http://{host}:{port}")
    yield found
    for index in found.indexes:
        await index.close()
    await runner.cleanup()
    for shard in server.shards.values():
        shard.close()


async def texts(search: Search, corpora: list[str], query: str) -> list[str]:
    return [passage.text for passage in await search.passages(corpora, query, limit=5)]


async def test_two_workers_two_users_one_server(world: World) -> None:
    ada, bob = new_id(USER), new_id(USER)
    first, second = world.worker(), world.worker()
    assert await texts(first, [ada], "lighthouse") == []
    await world.ingest(ada, "The lighthouse of Ada is red.")
    await world.ingest(bob, "The lighthouse of Bob is white.")
    for search in (first, second, world.worker()):
        assert await texts(search, [ada], "lighthouse Bob white") == ["The lighthouse of Ada is red."]
        assert await texts(search, [bob], "lighthouse") == ["The lighthouse of Bob is white."]
    queries = [body for _, path, body in world.server.asked if path == "points/query/batch"]
    assert queries
    assert all(each["filter"]["must"][0]["key"] == "corpus" for body in queries for each in body["searches"])


async def test_a_new_worker_goes_on_where_the_server_is(world: World) -> None:
    ada = new_id(USER)
    head = await world.ingest(ada, "The lighthouse of Ada is red.")
    assert len(await texts(world.worker(), [ada], "lighthouse")) == 1
    world.server.asked.clear()
    assert len(await texts(world.worker(), [ada], "lighthouse")) == 1
    assert [path for method, path, _ in world.server.asked if method == "PUT"] == []
    await delete_document(ada, head.document_id, log=world.log, at=AT)
    assert await texts(world.worker(), [ada], "lighthouse") == []


async def test_workers_that_begin_at_once(world: World) -> None:
    users = [new_id(USER) for _ in range(4)]
    for user in users:
        await world.ingest(user, f"The lighthouse of {user}.")
    workers = [world.worker() for _ in range(3)]
    found = await asyncio.gather(*(texts(worker, [user], "lighthouse") for worker in workers for user in users))
    assert found == [[f"The lighthouse of {user}."] for _ in workers for user in users]


async def test_a_server_that_is_away(world: World) -> None:
    ada = new_id(USER)
    await world.ingest(ada, "The lighthouse.")
    world.server.away = True
    with pytest.raises(CorpusUnavailableError, match="503"):
        await texts(world.worker(), [ada], "lighthouse")
    world.server.away = False
    assert await texts(world.worker(), [ada], "lighthouse") == ["The lighthouse."]
