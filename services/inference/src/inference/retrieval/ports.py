"""What the handlers of retrieval need from outside."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from inference.retrieval.domain.ranking import Candidates
from inference.retrieval.domain.records import ChunkBatch, DocumentHead, Record

Purpose = Literal["query", "document"]


class CorpusUnavailableError(Exception):
    """The stream, the embeddings or the engine did not answer. Nothing is known; ask again."""


class UnreadableDocumentError(ValueError):
    """The document has no text that can be read. Final; the sentence is for the person who uploaded it."""


class UploadGoneError(Exception):
    """The document was deleted. Final."""


class UploadsUnavailableError(Exception):
    """Whoever keeps the uploads did not answer. Nothing is known; ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was uploaded. `corpus` is the owner's id, or `shared-…` where the uploader may write to it: whoever accepts the
    upload has checked that."""

    corpus: str
    document_id: str
    title: str
    media_type: str
    data: bytes
    url: str | None = None


class Uploads(Protocol):
    """Where uploaded documents are kept."""

    async def get(self, document_id: str) -> Document:
        """What was uploaded. Raises UploadGoneError, UploadsUnavailableError."""

    async def record(
        self,
        document_id: str,
        state: Literal["reading", "ready", "failed"],
        *,
        done: int = 0,
        total: int = 0,
        error: str = "",
    ) -> None:
        """Say how far it is, or how it ended; a document that was deleted is passed over. Raises UploadsUnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a document before it has a vector."""

    text: str
    page: int | None = None
    heading: str = ""


class Splitter(Protocol):
    """Makes pieces of a document."""

    async def split(self, data: bytes, media_type: str) -> Sequence[Piece]:
        """The pieces in order. Raises UnreadableDocumentError."""


class Embeddings(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """Names model and size; vectors of different names cannot be compared."""

    @property
    def floor(self) -> float:
        """The cosine similarity below which two texts have nothing to do with each other."""

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Sequence[float]]:
        """A vector of length 1 for each text, in order; all zeros for a text of which the model knows no word. Raises
        CorpusUnavailableError."""

    async def dimensions(self) -> int:
        """Numbers in a vector. May have to ask, once. Raises CorpusUnavailableError."""

    async def close(self) -> None:
        """Let go of connections. Idempotent."""


class CorpusLog(Protocol):
    """The stream CORPORA."""

    async def append(self, record: Record) -> int:
        """Store an entry in place of the one before it on its subject; the place in the stream. Raises
        CorpusUnavailableError, and CorpusFullError where the stream is at its limit."""

    async def head(self, corpus: str, document_id: str) -> DocumentHead | None:
        """What became of a document (ready or failed), None while it is not done with. It stays when it is deleted."""

    async def mark(self, corpus: str, document_id: str) -> DocumentHead | None:
        """The mark that a document is deleted, None for one that is not."""

    async def newest(self, corpus: str) -> int:
        """The place of the corpus's newest entry, 0 where it has none."""

    def read(self, corpus: str, *, after: int) -> AsyncIterator[tuple[int, Record]]:
        """The entries after a place, in order, with their places."""


class CorpusFullError(Exception):
    """The stream takes no more. Nothing was stored; tell the operator."""


class Index(Protocol):
    """Something that finds passages: a projection of the stream, which can be thrown away and built again."""

    async def position(self, corpus: str) -> int:
        """The place in the stream up to which the corpus is indexed, 0 for one that is not."""

    async def add(self, batch: ChunkBatch) -> None:
        """Index chunks; again is the same as once. A vector that is empty or of another size is left out, the words are
        not."""

    async def drop(self, corpus: str, document_id: str) -> None:
        """Forget a document. Idempotent."""

    async def reached(self, corpus: str, position: int) -> None:
        """Everything up to `position` was added or dropped."""

    async def forget(self, corpus: str) -> None:
        """Throw the corpus's index away: the stream is not the one it was built from."""

    async def search(self, corpus: str, *, vector: Sequence[float], text: str, limit: int) -> Candidates:
        """The best of this corpus and of no other. An empty or unknown corpus has none."""

    async def rest(self, in_use: Collection[str]) -> Collection[str]:
        """A moment to let go of corpora that were not used for long, none of `in_use`; returns which it did."""

    async def close(self) -> None:
        """Let go of everything. Idempotent."""
