"""One document, of a corpus that the caller may see."""

from conversation.domain.library import Document, known_corpus, known_document, no_document
from conversation.library_ports import LibraryParts


async def get_document(parts: LibraryParts, corpus: str, document_id: str) -> Document:
    """Refused as not found where it is of another corpus."""
    found = await parts.library.get(known_document(document_id))
    if found is None or found.corpus != known_corpus(corpus):
        raise no_document()
    return found
