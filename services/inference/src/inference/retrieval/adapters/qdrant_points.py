"""How chunks are points of Qdrant, in the embedded engine and on a server alike."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from inference.retrieval.domain.ranking import Passage
from inference.retrieval.domain.records import Chunk, ChunkBatch

if TYPE_CHECKING:
    from qdrant_edge import Bm25, SparseVector

DENSE: Final = "dense"
SPARSE: Final = "text"
_UNSPACED: Final = re.compile("[\u0e00-\u0eff\u3040-\u9fff]")


class WordVectors:
    """BM25's sparse vectors; the engine adds the weight of rare words (IDF) when it is asked. The same tokens and weights as
    the server's own text pipeline."""

    def __init__(self) -> None:
        self._spaced: Bm25 | None = None
        self._unspaced: Bm25 | None = None

    def of_chunk(self, chunk: Chunk) -> "SparseVector":
        """What a query is compared with: the text and the heading it stands under."""
        text = f"{chunk.heading}\n{chunk.text}" if chunk.heading else chunk.text
        return self._model(text).embed_document(text)

    def of_query(self, text: str) -> "SparseVector":
        """Empty where the query has no word that counts."""
        return self._model(text).embed_query(text)

    def _model(self, text: str) -> "Bm25":
        """Scripts without spaces need another tokenizer, which in turn keeps part numbers such as X-12 in one piece; so it is
        taken only where it must."""
        import qdrant_edge as edge

        if self._spaced is None or self._unspaced is None:
            self._spaced = edge.Bm25(edge.Bm25Config(ascii_folding=True))
            self._unspaced = edge.Bm25(edge.Bm25Config(ascii_folding=True, tokenizer=edge.TokenizerType.Multilingual))
        return self._unspaced if _UNSPACED.search(text) else self._spaced


def point_id(document_id: str, number: int) -> str:
    """A chunk's point: the same chunk always has the same."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{document_id}-{number}".encode()).digest()[:16]))


def payload_of(batch: ChunkBatch, chunk: Chunk) -> dict[str, Any]:
    """What comes back with a point."""
    return {
        "document_id": batch.document_id,
        "number": chunk.number,
        "title": batch.title,
        "url": batch.url,
        "text": chunk.text,
        "page": chunk.page,
        "heading": chunk.heading,
    }


def passage_of(corpus: str, score: float, payload: Mapping[str, Any]) -> Passage:
    """A found point as a passage."""
    return Passage(
        corpus=corpus,
        score=score,
        document_id=str(payload["document_id"]),
        number=int(payload["number"]),
        title=str(payload.get("title") or ""),
        text=str(payload.get("text") or ""),
        url=payload.get("url"),
        page=payload.get("page"),
        heading=str(payload.get("heading") or ""),
    )
