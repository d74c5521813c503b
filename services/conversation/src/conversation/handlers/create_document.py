"""Take an uploaded document and have it read."""

import hashlib

from contracts.codes import Code
from contracts.ids import DOCUMENT

from conversation.domain.library import Document, check_upload, known_document
from conversation.domain.refusals import RefusedError
from conversation.library_ports import LibraryParts


async def create_document(
    parts: LibraryParts, document_id: str, *, corpus: str, title: str, media_type: str, url: str, data: bytes
) -> Document:
    """Stored, with the command to read it, when this returns. Idempotent where `document_id` is given."""
    check_upload(corpus=corpus, title=title, media_type=media_type, url=url, size=len(data), limits=parts.limits)
    document = Document(
        id=known_document(document_id) if document_id else parts.new_id(DOCUMENT),
        corpus=corpus,
        title=title.strip(),
        media_type=media_type,
        url=url,
        size=len(data),
        digest=hashlib.sha256(data).digest(),
        state="pending",
        created_at=parts.now(),
    )
    earlier = await parts.library.get(document.id) if document_id else None
    if earlier is None:
        if await parts.library.count(corpus, parts.limits.documents) >= parts.limits.documents:
            raise RefusedError(
                Code.LIMIT_REACHED, f"There are {parts.limits.documents:,} documents already; delete one first."
            )
        if await parts.library.add(document, data):
            return document
        earlier = await parts.library.get(document.id)
    if earlier is None or not earlier.is_same_upload(document):
        raise RefusedError(
            Code.IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used for another document; use a new one."
        )
    return earlier
