"""Documents that answers may rest on: what is kept of one, and what an upload must be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from contracts.codes import Code
from contracts.ids import DOCUMENT, InvalidIdError, check_corpus, check_id

from conversation.domain.refusals import RefusedError

MEDIA_TYPES: Final = ("text/plain", "text/markdown", "application/pdf")
MOST_TITLE: Final = 300
MOST_URL: Final = 2_000

DocumentState = Literal["pending", "reading", "ready", "failed"]
OPEN: Final[Sequence[DocumentState]] = ("pending", "reading")
"""States in which a worker still has something to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document without its content. `digest` is SHA-256 of it; `done` and `total` count passages."""

    id: str
    corpus: str
    title: str
    media_type: str
    url: str
    size: int
    digest: bytes
    state: DocumentState
    created_at: datetime
    done: int = 0
    total: int = 0
    error: str = ""

    def is_same_upload(self, other: "Document") -> bool:
        """Whether both came from the same request."""
        unread = replace(self, created_at=other.created_at, state=other.state)
        return replace(unread, done=other.done, total=other.total, error=other.error) == other


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryLimits:
    """How much may be kept. MongoDB's own limit for one document is 16 MiB."""

    document_bytes: int = 10 * 1024 * 1024
    documents: int = 1_000


def check_upload(*, corpus: str, title: str, media_type: str, url: str, size: int, limits: LibraryLimits) -> None:
    """Raises RefusedError for what is not taken."""
    known_corpus(corpus)
    if media_type not in MEDIA_TYPES:
        raise RefusedError(
            Code.DOCUMENT_UNREADABLE, f"{media_type[:80] or 'No type'} is not taken; {', '.join(MEDIA_TYPES)} are."
        )
    if size == 0:
        raise RefusedError(Code.DOCUMENT_UNREADABLE, "The document is empty.")
    if size > limits.document_bytes:
        raise RefusedError(
            Code.BODY_TOO_LARGE, f"The document has {size:,} bytes; at most {limits.document_bytes:,} are taken."
        )
    if not title.strip() or len(title) > MOST_TITLE:
        raise RefusedError(Code.BODY_INVALID, f"A document has a title of 1 to {MOST_TITLE} characters.")
    if len(url) > MOST_URL or (url and not url.startswith(("http://", "https://"))):
        raise RefusedError(Code.BODY_INVALID, f"The address is none, or longer than {MOST_URL} characters.")


def known_corpus(text: str) -> str:
    """Return `text` where it names a corpus; refused otherwise."""
    try:
        return check_corpus(text)
    except InvalidIdError:
        raise RefusedError(
            Code.BODY_INVALID, "A corpus is shared- and a name of a-z, 0-9 and -; none means your own."
        ) from None


def known_document(text: str) -> str:
    """Return `text` where it is well formed; a malformed id names nothing that exists."""
    try:
        return check_id(DOCUMENT, text)
    except InvalidIdError:
        raise no_document() from None


def no_document() -> RefusedError:
    """What a caller is told about a document that does not exist or is somebody else's: the same in both cases."""
    return RefusedError(Code.DOCUMENT_NOT_FOUND, "There is no such document.")
