"""The index in the worker's own process: Qdrant Edge, one shard for each corpus, made from the stream when it is first asked
for and thrown away when it was not used for long (docs/adr/0007-retrieval-engine.md).

A corpus has a shard of its own, so a search cannot see another corpus even by mistake. Shards live in a folder of this
process; nothing in them is needed again. What a killed process left behind is removed by the next one.
"""

import asyncio
import fcntl
import functools
import hashlib
import shutil
import tempfile
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import structlog

from inference.retrieval.adapters.qdrant_points import DENSE, SPARSE, WordVectors, passage_of, payload_of, point_id
from inference.retrieval.domain.ranking import Candidates
from inference.retrieval.domain.records import ChunkBatch, unpack_vector

if TYPE_CHECKING:
    from qdrant_edge import EdgeShard, ScoredPoint

logger = structlog.get_logger()
T = TypeVar("T")

FOLDER: Final = "everthread-index-"
Dimensions = Callable[[], Awaitable[int]]

OPEN_CORPORA: Final = 32
"""Shards held at once: about a quarter MiB each when small, 5 KiB a chunk."""


@dataclass(slots=True)
class _Shard:
    shard: "EdgeShard"
    folder: Path
    size: int
    position: int = 0
    using: asyncio.Lock = field(default_factory=asyncio.Lock)


class EdgeIndex:
    """Index. `dimensions` tells the embeddings' size. `parent`: where the folder is made; None takes the system's for temporary files."""

    def __init__(self, dimensions: Dimensions, *, parent: Path | None = None, open_corpora: int = OPEN_CORPORA) -> None:
        self._dimensions = dimensions
        self._parent = parent if parent is not None else Path(tempfile.gettempdir())
        self._open_corpora = open_corpora
        self._shards: OrderedDict[str, _Shard] = OrderedDict()
        self._folder: Path | None = None
        self._lock: TextIO | None = None
        self._creating = asyncio.Lock()
        self._words = WordVectors()

    async def position(self, corpus: str) -> int:
        """Up to where the corpus is indexed; 0 for one that has no shard."""
        held = self._shards.get(corpus)
        return held.position if held is not None else 0

    async def add(self, batch: ChunkBatch) -> None:
        """Index a batch, in a new shard where the corpus has none."""
        held = self._shards.get(batch.corpus)
        if held is None:
            size = await self._dimensions()
            async with self._creating:
                held = await asyncio.to_thread(self._create, batch.corpus, size)
            self._shards[batch.corpus] = held
        await self._within(held, lambda: self._upsert(held, batch))

    async def drop(self, corpus: str, document_id: str) -> None:
        """Forget a document."""
        held = self._shards.get(corpus)
        if held is not None:
            await self._within(held, lambda: _delete(held.shard, document_id))

    async def reached(self, corpus: str, position: int) -> None:
        """Remember how far the corpus is indexed."""
        held = self._shards.get(corpus)
        if held is not None:
            held.position = position

    async def forget(self, corpus: str) -> None:
        """Throw the shard away."""
        held = self._shards.pop(corpus, None)
        if held is not None:
            await self._within(held, lambda: _remove(held))

    async def search(self, corpus: str, *, vector: Sequence[float], text: str, limit: int) -> Candidates:
        """Both kinds in one pass over the shard."""
        held = self._shards.get(corpus)
        if held is None:
            return Candidates((), ())
        self._shards.move_to_end(corpus)
        return await self._within(held, lambda: self._query(held, corpus, vector, text, limit))

    async def rest(self, in_use: Collection[str]) -> Collection[str]:
        """Throw away the shards that were not used for longest, beyond `open_corpora`."""
        unused = [corpus for corpus in self._shards if corpus not in in_use]
        too_many = unused[: max(0, len(self._shards) - self._open_corpora)]
        # All out of reach first: whoever comes for one of them while another is being closed builds it anew.
        for held in [self._shards.pop(corpus) for corpus in too_many]:
            await self._within(held, functools.partial(_remove, held))
        return too_many

    async def close(self) -> None:
        """Close all shards and remove the folder."""
        for corpus in list(self._shards):
            await self.forget(corpus)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
        self._folder = self._lock = None

    async def _within(self, held: _Shard, work: Callable[[], T]) -> T:
        async with held.using:
            return await asyncio.to_thread(work)

    def _create(self, corpus: str, size: int) -> _Shard:
        import qdrant_edge as edge

        folder = self._own_folder() / hashlib.sha256(f"{corpus} {uuid.uuid4()}".encode()).hexdigest()[:24]
        folder.mkdir()
        shard = edge.EdgeShard.create(
            str(folder),
            edge.EdgeConfig(
                vectors={DENSE: edge.EdgeVectorParams(size, edge.Distance.Cosine)},
                sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
                max_search_threads=1,
                # The stream is the record; a log of the shard's own would be written for nobody.
                wal_enabled=False,
            ),
        )
        return _Shard(shard, folder, size)

    def _own_folder(self) -> Path:
        """This process's folder, held by a lock, so that the next process can tell whose owner is gone."""
        if self._folder is None:
            _sweep(self._parent)
            self._parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=self._parent))
            # Locked before it has its name, so that nobody who sweeps finds it unlocked.
            unnamed = self._folder / "lock.new"
            self._lock = unnamed.open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self._folder / "lock")
        return self._folder

    def _upsert(self, held: _Shard, batch: ChunkBatch) -> None:
        import qdrant_edge as edge

        points = []
        for chunk in batch.chunks:
            vectors: dict[str, Any] = {SPARSE: self._words.of_chunk(chunk)}
            vector = unpack_vector(chunk.vector)
            if len(vector) == held.size:
                vectors[DENSE] = vector
            points.append(edge.Point(point_id(batch.document_id, chunk.number), vectors, payload_of(batch, chunk)))
        if points:
            held.shard.update(edge.UpdateOperation.upsert_points(points))

    def _query(self, held: _Shard, corpus: str, vector: Sequence[float], text: str, limit: int) -> Candidates:
        import qdrant_edge as edge

        dense: list[ScoredPoint] = []
        if len(vector) == held.size and any(vector):
            nearest = edge.Query.Nearest(list(vector), DENSE)
            dense = held.shard.query(edge.QueryRequest(limit=limit, query=nearest, with_payload=True))
        words = self._words.of_query(text)
        sparse: list[ScoredPoint] = []
        if words.indices:
            best = edge.Query.Nearest(words, SPARSE)
            sparse = held.shard.query(edge.QueryRequest(limit=limit, query=best, with_payload=True))
        return Candidates(
            [passage_of(corpus, point.score, point.payload or {}) for point in dense],
            [passage_of(corpus, point.score, point.payload or {}) for point in sparse],
        )


def _delete(shard: "EdgeShard", document_id: str) -> None:
    import qdrant_edge as edge

    of_document = edge.FieldCondition(key="document_id", match=edge.MatchValue(document_id))
    shard.update(edge.UpdateOperation.delete_points_by_filter(edge.Filter(must=[of_document])))


def _remove(held: _Shard) -> None:
    held.shard.close()
    shutil.rmtree(held.folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that are gone: their lock can be taken."""
    for folder in parent.glob(f"{FOLDER}*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # In use, being made or removed by another process, or somebody else's.
            continue
