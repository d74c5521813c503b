"""The index on a Qdrant server, shared by all workers: the same points as in the embedded engine, over the REST API.

One collection for each embedding (another model, another collection, built anew from the stream), all corpora in it. Each
request names its corpus in a filter that is added in one place, `_of`. How far a corpus is indexed is a point of its own;
each worker reads it once and then keeps its own count, so that what another worker does meanwhile is at worst done twice.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import aiohttp
import msgspec

from inference.retrieval.adapters.qdrant_points import DENSE, SPARSE, WordVectors, passage_of, payload_of, point_id
from inference.retrieval.domain.ranking import Candidates
from inference.retrieval.domain.records import ChunkBatch, unpack_vector
from inference.retrieval.ports import CorpusUnavailableError

Dimensions = Callable[[], Awaitable[int]]

SECONDS: Final = 15.0
POSITION: Final = "position"


class _Point(msgspec.Struct):
    payload: dict[str, Any] | None = None
    score: float = 0.0


class _Points(msgspec.Struct):
    points: list[_Point]


class _Found(msgspec.Struct):
    result: list[_Points]


class _Retrieved(msgspec.Struct):
    result: list[_Point]


class ServerIndex:
    """Index over `url`; `embedding` and `dimensions` are the name and the size of the embeddings in use."""

    def __init__(self, url: str, embedding: str, dimensions: Dimensions, *, api_key: str = "") -> None:
        self._dimensions = dimensions
        self._url, self._api_key = url.rstrip("/"), api_key
        self._collection = f"everthread-{hashlib.sha256(embedding.encode()).hexdigest()[:16]}"
        self._words = WordVectors()
        self._positions: dict[str, int] = {}
        self._size = 0
        self._making = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def position(self, corpus: str) -> int:
        """This worker's count, or at first what the server has."""
        if corpus not in self._positions:
            body = {"ids": [_position_id(corpus)], "with_payload": True}
            data = await self._ask("POST", "/points", body, missing_is_fine=True)
            points = msgspec.json.decode(data, type=_Retrieved).result if data else []
            payload = points[0].payload if points else None
            self._positions[corpus] = int((payload or {}).get(POSITION, 0))
        return self._positions[corpus]

    async def add(self, batch: ChunkBatch) -> None:
        """Index a batch."""
        size = await self._make()
        points = []
        for chunk in batch.chunks:
            words = self._words.of_chunk(chunk)
            vectors: dict[str, Any] = {SPARSE: {"indices": list(words.indices), "values": list(words.values)}}
            if len(chunk.vector) // 4 == size:
                vectors[DENSE] = unpack_vector(chunk.vector)
            payload = {**payload_of(batch, chunk), "corpus": batch.corpus}
            points.append({"id": point_id(batch.document_id, chunk.number), "vector": vectors, "payload": payload})
        if points:
            await self._ask("PUT", "/points?wait=true", {"points": points})

    async def drop(self, corpus: str, document_id: str) -> None:
        """Forget a document."""
        of_document = {"key": "document_id", "match": {"value": document_id}}
        body = {"filter": {"must": [*_of(corpus), of_document]}}
        await self._ask("POST", "/points/delete?wait=true", body, missing_is_fine=True)

    async def reached(self, corpus: str, position: int) -> None:
        """Remember, here and on the server. Where there is no collection yet there is nothing to remember."""
        self._positions[corpus] = position
        point = {"id": _position_id(corpus), "vector": {}, "payload": {POSITION: position}}
        await self._ask("PUT", "/points?wait=true", {"points": [point]}, missing_is_fine=True)

    async def forget(self, corpus: str) -> None:
        """Throw the corpus away on the server."""
        self._positions.pop(corpus, None)
        body = {"points": [_position_id(corpus)]}
        await self._ask("POST", "/points/delete?wait=true", body, missing_is_fine=True)
        await self._ask("POST", "/points/delete?wait=true", {"filter": {"must": _of(corpus)}}, missing_is_fine=True)

    async def search(self, corpus: str, *, vector: Sequence[float], text: str, limit: int) -> Candidates:
        """Both kinds in one request."""
        common = {"filter": {"must": _of(corpus)}, "limit": limit, "with_payload": True}
        words = self._words.of_query(text)
        searches: dict[str, dict[str, Any]] = {}
        if any(vector):
            searches[DENSE] = {"query": list(vector), "using": DENSE, **common}
        if words.indices:
            sparse = {"indices": list(words.indices), "values": list(words.values)}
            searches[SPARSE] = {"query": sparse, "using": SPARSE, **common}
        if not searches:
            return Candidates((), ())
        data = await self._ask(
            "POST", "/points/query/batch", {"searches": list(searches.values())}, missing_is_fine=True
        )
        if not data:
            return Candidates((), ())
        answers = msgspec.json.decode(data, type=_Found).result
        found = {
            kind: [passage_of(corpus, point.score, point.payload) for point in answer.points if point.payload]
            for kind, answer in zip(searches, answers, strict=True)
        }
        return Candidates(found.get(DENSE, ()), found.get(SPARSE, ()))

    async def rest(self, in_use: Collection[str]) -> Collection[str]:
        """The server keeps everything."""
        return ()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _make(self) -> int:
        """Create the collection where it is missing, which several workers may try at once; the size of its vectors."""
        async with self._making:
            if self._size:
                return self._size
            size = await self._dimensions()
            vectors = {DENSE: {"size": size, "distance": "Cosine"}}
            body = {"vectors": vectors, "sparse_vectors": {SPARSE: {"modifier": "idf"}}, "on_disk_payload": True}
            await self._ask("PUT", "", body, exists_is_fine=True)
            for name, schema in (("corpus", {"type": "keyword", "is_tenant": True}), ("document_id", "keyword")):
                await self._ask("PUT", "/index?wait=true", {"field_name": name, "field_schema": schema})
            self._size = size
            return size

    async def _ask(
        self, method: str, path: str, body: Any, *, missing_is_fine: bool = False, exists_is_fine: bool = False
    ) -> bytes:
        """The answer's bytes; empty where a collection that may be missing is."""
        if self._session is None:
            headers = {"content-type": "application/json"} | ({"api-key": self._api_key} if self._api_key else {})
            self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=SECONDS))
        url = f"{self._url}/collections/{self._collection}{path}"
        try:
            async with self._session.request(method, url, data=msgspec.json.encode(body)) as response:
                data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CorpusUnavailableError(f"the search engine did not answer: {type(error).__name__}") from error
        if (response.status == 404 and missing_is_fine) or (exists_is_fine and b"already exists" in data):
            return b""
        if response.status != 200:
            raise CorpusUnavailableError(f"the search engine refused with status {response.status}")
        return data


def _of(corpus: str) -> list[dict[str, Any]]:
    """The condition that every request about a corpus carries."""
    return [{"key": "corpus", "match": {"value": corpus}}]


def _position_id(corpus: str) -> str:
    return point_id(f"position of {corpus}", 0)
