"""What was uploaded. For inference, which reads it."""

from conversation.domain.library import Document, known_document, no_document
from conversation.library_ports import LibraryParts


async def get_document_content(parts: LibraryParts, document_id: str) -> tuple[Document, bytes]:
    """The document and its content; refused as not found once it was deleted."""
    document = await parts.library.get(known_document(document_id))
    data = await parts.library.content(document_id) if document is not None else None
    if document is None or data is None:
        raise no_document()
    return document, data
