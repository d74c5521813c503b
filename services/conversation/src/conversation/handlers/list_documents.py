"""A corpus's documents, newest first."""

from conversation.domain.library import Document, known_corpus, known_document
from conversation.domain.limits import Limits, page_size
from conversation.domain.pages import Page
from conversation.library_ports import LibraryParts


async def list_documents(parts: LibraryParts, corpus: str, *, cursor: str, limit: int) -> Page[Document]:
    """One page; the cursor is the id of the last document given out."""
    size = page_size(limit, Limits())
    before = known_document(cursor) if cursor else ""
    found = await parts.library.of(known_corpus(corpus), before=before, limit=size + 1)
    return Page(found[:size], found[size - 1].id if len(found) > size else "")
