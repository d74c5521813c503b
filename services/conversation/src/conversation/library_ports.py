"""What the handlers of documents need from outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from conversation.domain.library import Document, DocumentState, LibraryLimits


class Library(Protocol):
    """The documents. Any call may raise store.errors.StoreUnavailableError."""

    async def add(self, document: Document, data: bytes) -> bool:
        """Store it and have it read, in one transaction; False, having stored nothing, where the id is taken."""

    async def get(self, document_id: str) -> Document | None:
        """A document, whoever's."""

    async def content(self, document_id: str) -> bytes | None:
        """What was uploaded."""

    async def of(self, corpus: str, *, before: str, limit: int) -> Sequence[Document]:
        """A corpus's documents with an id below `before` (empty: all), newest first."""

    async def count(self, corpus: str, most: int) -> int:
        """How many a corpus has, counted up to `most`."""

    async def record(self, document_id: str, state: DocumentState, *, done: int, total: int, error: str) -> None:
        """How far reading is. Does nothing where the document has gone or reading has ended."""

    async def delete(self, document: Document) -> None:
        """Delete it and have its passages taken away, in one transaction. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryParts:
    """Everything these handlers may use. `now` gives the time in UTC, whole milliseconds; `new_id` an id for a prefix."""

    library: Library
    limits: LibraryLimits
    now: Callable[[], datetime]
    new_id: Callable[[str], str]
