"""Search: bring the index up to the stream, ask it, rank."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

import structlog

from inference.retrieval.domain.ranking import Passage, rank
from inference.retrieval.domain.records import ChunkBatch, DocumentHead, pack_vector
from inference.retrieval.ports import CorpusLog, CorpusUnavailableError, Embeddings, Index

logger = structlog.get_logger()

CANDIDATES = 24
"""Taken from each corpus by each kind, before ranking."""


class Search:
    """Finds passages. One per worker: it is what keeps the worker's index up to the stream.

    A search sees every document that was ready when it began, also one that another worker has ingested, and none that was
    deleted: the stream is asked first, which costs one round trip.
    """

    def __init__(self, log: CorpusLog, index: Index, embeddings: Embeddings) -> None:
        self._log, self._index, self._embeddings = log, index, embeddings
        self._deleted: dict[str, set[str]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def passages(self, corpora: Sequence[str], query: str, *, limit: int) -> list[Passage]:
        """The best `limit` passages for `query` in `corpora`, which the caller has from `corpora_for`. Raises
        CorpusUnavailableError."""
        if not query.strip():
            return []
        vector: Sequence[float] | None = None
        found = []
        for corpus in corpora:
            async with self._lock(corpus):
                if not await self._catch_up(corpus):
                    continue
                if vector is None:
                    [vector] = await self._embeddings.embed([query], "query")
                found.append(await self._index.search(corpus, vector=vector, text=query, limit=max(CANDIDATES, limit)))
        for corpus in await self._index.rest([corpus for corpus, lock in self._locks.items() if lock.locked()]):
            self._deleted.pop(corpus, None)
        return rank(found, limit=limit, floor=self._embeddings.floor)

    def _lock(self, corpus: str) -> asyncio.Lock:
        """Held while a corpus is indexed and searched; forgotten when nobody holds or wants it."""
        lock = self._locks.get(corpus)
        if lock is None:
            lock = self._locks[corpus] = asyncio.Lock()
        return lock

    async def has_documents(self, corpora: Sequence[str]) -> bool:
        """Whether anything was ever stored in one of `corpora`; so cheap that it can be asked for every message."""
        for corpus in corpora:
            if await self._log.newest(corpus):
                return True
        return False

    async def _catch_up(self, corpus: str) -> bool:
        """Index what the stream has and the index has not; whether the corpus has anything."""
        position = await self._index.position(corpus)
        try:
            newest = await self._log.newest(corpus)
        except CorpusUnavailableError:
            if position == 0:
                raise
            logger.warning("corpus.stale", position=position)
            return True
        if newest < position:
            # A rebuilt stream counts anew.
            await self._index.forget(corpus)
            position = 0
        if position == 0:
            self._deleted.pop(corpus, None)
        if newest > position:
            await self._read_on(corpus, position)
        return newest > 0

    async def _read_on(self, corpus: str, position: int) -> None:
        deleted = self._deleted.setdefault(corpus, set())
        chunks = 0
        async for place, record in self._log.read(corpus, after=position):
            position = place
            if isinstance(record, DocumentHead):
                if record.state != "ready":
                    deleted.add(record.document_id)
                    await self._index.drop(corpus, record.document_id)
            elif not record.chunks:
                # Only a deleted document's batches are emptied.
                await self._index.drop(corpus, record.document_id)
            elif record.document_id not in deleted:
                await self._index.add(await self._comparable(record))
                chunks += len(record.chunks)
        await self._index.reached(corpus, position)
        if chunks:
            logger.info("corpus.indexed", chunks=chunks, position=position)

    async def _comparable(self, batch: ChunkBatch) -> ChunkBatch:
        """The batch with vectors of the embedding in use: after a change of model those stored are of no use."""
        if batch.embedding == self._embeddings.name:
            return batch
        vectors = await self._embeddings.embed([chunk.text for chunk in batch.chunks], "document")
        chunks = tuple(
            type(chunk)(
                number=chunk.number, text=chunk.text, page=chunk.page, heading=chunk.heading, vector=pack_vector(vector)
            )
            for chunk, vector in zip(batch.chunks, vectors, strict=True)
        )
        return ChunkBatch(
            corpus=batch.corpus,
            document_id=batch.document_id,
            number=batch.number,
            title=batch.title,
            embedding=self._embeddings.name,
            url=batch.url,
            chunks=chunks,
        )
