"""Delete a document and its passages."""

from conversation.domain.library import known_corpus, known_document
from conversation.library_ports import LibraryParts


async def delete_document(parts: LibraryParts, corpus: str, document_id: str) -> None:
    """Gone when this returns; its passages go soon after. Idempotent: what does not exist stays away."""
    found = await parts.library.get(known_document(document_id))
    if found is not None and found.corpus == known_corpus(corpus):
        await parts.library.delete(found)
