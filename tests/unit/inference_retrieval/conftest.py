"""Hand-written parts for retrieval: a bus in memory, embeddings that are easy to predict."""

import math
import re
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from bus.memory import Broker, MemoryBus
from contracts.ids import DOCUMENT, USER, new_id
from inference.retrieval.adapters.bus_corpus_log import BusCorpusLog
from inference.retrieval.adapters.document_splitter import DocumentSplitter
from inference.retrieval.adapters.edge_index import EdgeIndex
from inference.retrieval.domain.records import DocumentHead
from inference.retrieval.handlers.ingest_document import ingest_document
from inference.retrieval.handlers.search_corpora import Search
from inference.retrieval.ports import CorpusUnavailableError, Document, Purpose

AT = "2026-11-21T03:17:47.123Z"


class WordEmbeddings:
    """One direction for each word (hashed), so that texts are near when they share words."""

    floor = 0.2

    def __init__(self, size: int = 64) -> None:
        self.name, self.size = f"words-{size}", size
        self.asked: list[tuple[str, int]] = []
        self.away = False

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Sequence[float]]:
        if self.away:
            raise CorpusUnavailableError("away")
        self.asked.append((purpose, len(texts)))
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.size
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % self.size] += 1.0
        length = math.hypot(*vector)
        return [value / length for value in vector] if length else vector

    async def dimensions(self) -> int:
        return self.size

    async def close(self) -> None:
        """Nothing to close."""


class World:
    """A broker and as many workers as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.broker = Broker()
        self.bus = MemoryBus("test", self.broker)
        self.log = BusCorpusLog(self.bus)
        self.embeddings = WordEmbeddings()
        self.folder = folder
        self.indexes: list[EdgeIndex] = []

    def worker(self, *, open_corpora: int = 32, embeddings: WordEmbeddings | None = None) -> Search:
        index = EdgeIndex((embeddings or self.embeddings).dimensions, parent=self.folder, open_corpora=open_corpora)
        self.indexes.append(index)
        return Search(self.log, index, embeddings or self.embeddings)

    async def ingest(self, corpus: str, text: str, *, title: str = "Notes", document_id: str = "") -> DocumentHead:
        document = Document(
            corpus=corpus,
            document_id=document_id or new_id(DOCUMENT),
            title=title,
            media_type="text/markdown",
            data=text.encode(),
        )
        return await ingest_document(
            document, log=self.log, splitter=DocumentSplitter(), embeddings=self.embeddings, at=AT
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    found = World(tmp_path / "indexes")
    yield found
    for index in found.indexes:
        await index.close()


@pytest.fixture
def ada() -> str:
    return new_id(USER)


@pytest.fixture
def bob() -> str:
    return new_id(USER)
