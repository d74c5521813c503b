"""Retrieval over a real nats-server with inference's permissions, with the embeddings that ship: two workers, kills, limits."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from bus.jetstream import connect
from contracts.ids import DOCUMENT, USER, new_id
from contracts.topology import CORPORA
from inference.retrieval.adapters.bus_corpus_log import BusCorpusLog
from inference.retrieval.adapters.document_splitter import DocumentSplitter
from inference.retrieval.adapters.edge_index import FOLDER, EdgeIndex
from inference.retrieval.adapters.http_embeddings import HttpEmbeddings
from inference.retrieval.adapters.wordllama_embeddings import WordLlamaEmbeddings
from inference.retrieval.domain.quotes import quote_of
from inference.retrieval.handlers.delete_document import delete_document
from inference.retrieval.handlers.ingest_document import ingest_document
from inference.retrieval.handlers.search_corpora import Search
from inference.retrieval.ports import CorpusUnavailableError, Document

AT = "2026-11-21T03:17:47.123Z"
HANDBOOK = """# Lighthouse

The lighthouse tower is 42 metres tall and stands on a rock in the bay. Its light is seen from 20 miles away.

# Refunds

Customers may return goods within 30 days and get their money back, if they kept the receipt.

# Kitchen

Bananas are rich in potassium. Bread is baked on Mondays.
"""


@pytest.fixture
async def log(nats_port: int) -> AsyncIterator[BusCorpusLog]:
    async with AsyncExitStack() as stack:
        admin = await connect(f"nats://admin:admin-password@127.0.0.1:{nats_port}", instance="admin-1")
        stack.push_async_callback(admin.drain)
        await admin.reconcile()
        worker = await connect(f"nats://inference:inference-password@127.0.0.1:{nats_port}", instance="inference-1")
        stack.push_async_callback(worker.drain)
        yield BusCorpusLog(worker)


@asynccontextmanager
async def searching(log: BusCorpusLog, folder: Path) -> AsyncIterator[Search]:
    embeddings = WordLlamaEmbeddings()
    index = EdgeIndex(embeddings.dimensions, parent=folder)
    try:
        yield Search(log, index, embeddings)
    finally:
        await index.close()


async def ingest(log: BusCorpusLog, corpus: str, text: str, **more: Any) -> Any:
    document = Document(
        corpus=corpus, document_id=new_id(DOCUMENT), title="Handbook", media_type="text/markdown", data=text.encode()
    )
    return await ingest_document(
        document, log=log, splitter=DocumentSplitter(), embeddings=WordLlamaEmbeddings(), at=AT, **more
    )


async def test_real_questions_find_real_passages(log: BusCorpusLog, tmp_path: Path) -> None:
    user = new_id(USER)
    for part in HANDBOOK.split("\n# "):
        await ingest(log, user, f"# {part.removeprefix('# ')}")
    async with searching(log, tmp_path) as first, searching(log, tmp_path) as second:
        for search in (first, second):
            for question, answer in (
                ("How high is the lighthouse?", "42 metres"),
                ("Can I give back what I bought?", "return goods"),
                ("potassium", "Bananas"),
            ):
                [best, *_] = await search.passages([user], question, limit=2)
                assert answer in best.text
                assert quote_of(best.text, question) in best.text
        assert await first.passages([user], "quantum chromodynamics lattice", limit=5) == []
        assert await first.passages([new_id(USER)], "lighthouse", limit=5) == []


async def test_the_stream_keeps_one_entry_per_subject_and_deleting_empties_it(
    log: BusCorpusLog, tmp_path: Path
) -> None:
    user = new_id(USER)
    done: list[tuple[int, int]] = []
    text = "\n\n".join(f"# Part {n}\n\n" + f"The lighthouse keeper writes line {n}. " * 20 for n in range(150))
    head = await ingest(log, user, text, progress=lambda now, total: done.append((now, total)))
    assert head.batches == 3
    assert done[-1] == (head.chunks, head.chunks)
    async with searching(log, tmp_path) as search:
        assert len(await search.passages([user], "lighthouse keeper", limit=10)) == 10
        await delete_document(user, head.document_id, log=log, at=AT)
        assert await search.passages([user], "lighthouse keeper", limit=10) == []
        assert await search.has_documents([user])
    places = [place async for place, _ in log.read(user, after=0)]
    assert len(places) == head.batches + 2
    assert CORPORA.max_msgs_per_subject == 1


async def test_what_a_killed_worker_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import asyncio,sys,pathlib\n"
        "from inference.retrieval.adapters.edge_index import EdgeIndex\n"
        "from inference.retrieval.domain.records import Chunk, ChunkBatch\n"
        "async def size(): return 2\n"
        "async def main():\n"
        "    index = EdgeIndex(size, parent=pathlib.Path(sys.argv[1]))\n"
        "    chunks = (Chunk(number=0, text='lighthouse'),)\n"
        "    await index.add(ChunkBatch(corpus='c', document_id='d', number=0, title='t', embedding='e', chunks=chunks))\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        assert len(list(tmp_path.glob(f"{FOLDER}*"))) == 2
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].wait()
        third = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        processes.append(third)
        assert third.stdout is not None
        assert third.stdout.readline() == "ready\n"
        # The dead one's is gone, those of the living stay.
        assert len(list(tmp_path.glob(f"{FOLDER}*"))) == 2
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[tuple[str, list[Any], list[Callable[[Any], web.Response]]]]:
    """An OpenAI-compatible endpoint: what it was asked, and what it answers next."""
    asked: list[Any] = []
    answers: list[Callable[[Any], web.Response]] = []

    async def embeddings(request: web.BaseRequest) -> web.Response:
        body = json.loads(await request.read())
        asked.append((request.headers.get("authorization"), body))
        if answers:
            return answers.pop(0)(body)
        return _vectors(body, reverse=True)

    runner = web.ServerRunner(web.Server(embeddings))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = runner.addresses[0]
    yield f"http://{address[0]}:{address[1]}/v1", asked, answers
    await runner.cleanup()


def _vectors(body: Any, *, reverse: bool = False) -> web.Response:
    found = [{"index": index, "embedding": [float(len(text)), 0.0, 3.0]} for index, text in enumerate(body["input"])]
    return web.json_response({"data": found[::-1] if reverse else found, "model": body["model"]})


async def test_an_endpoint_for_embeddings(endpoint: Any) -> None:
    url, asked, answers = endpoint
    embeddings = HttpEmbeddings(url + "/", "m", api_key="k", prefixes={"query": "q: "})
    assert await embeddings.dimensions() == 3
    answers += [lambda _: web.Response(status=503), lambda _: web.Response(status=429)]
    vectors = await embeddings.embed(["a", "", "four"], "query")
    assert [round(vector[0] / vector[2], 6) if vector[2] else None for vector in vectors] == [
        round(4 / 3, 6),
        None,
        round(7 / 3, 6),
    ]
    assert asked[-1] == ("Bearer k", {"model": "m", "input": ["q: a", "q: four"], "encoding_format": "float"})
    assert len(await embeddings.embed(["x"] * 150, "document")) == 150
    assert [len(body["input"]) for _, body in asked[-3:]] == [64, 64, 22]
    await embeddings.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=401),
        lambda _: web.Response(text="no json"),
        lambda _: web.json_response({"data": []}),
        lambda _: web.json_response({"data": [{"embedding": []}]}),
        lambda _: web.json_response({"data": [{"embedding": [1.0]}, {"embedding": [1.0]}]}),
    ],
)
async def test_an_endpoint_that_answers_nonsense(endpoint: Any, answer: Callable[[Any], web.Response]) -> None:
    url, _, answers = endpoint
    embeddings = HttpEmbeddings(url, "m")
    answers.append(answer)
    with pytest.raises(CorpusUnavailableError):
        await embeddings.embed(["a"], "query")
    await embeddings.close()


async def test_an_endpoint_that_is_away() -> None:
    embeddings = HttpEmbeddings("http://127.0.0.1:9/v1", "m")
    with pytest.raises(CorpusUnavailableError):
        await asyncio.wait_for(embeddings.embed(["a"], "query"), 30)
    await embeddings.close()
