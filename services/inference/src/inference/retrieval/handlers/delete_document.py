"""Delete: nobody finds it any more, and its text is gone from the stream."""

from inference.retrieval.domain.records import ChunkBatch, DocumentHead
from inference.retrieval.ports import CorpusLog


async def delete_document(corpus: str, document_id: str, *, log: CorpusLog, at: str, batches: int = 0) -> DocumentHead:
    """Delete a document and return its mark, which stays for good. Idempotent; safe to repeat after an error. Against an
    ingestion under way: each writes first and looks then, so one of them sees the other and takes the chunks away.
    `batches`: how many there are at least. Raises CorpusUnavailableError, CorpusFullError."""
    mark = DocumentHead(corpus=corpus, document_id=document_id, state="deleted", title="", at=at)
    # From here on no search finds it, whatever happens to the rest.
    await log.append(mark)
    known = await log.head(corpus, document_id)
    for number in range(max(batches, known.batches if known is not None else 0)):
        await log.append(
            ChunkBatch(corpus=corpus, document_id=document_id, number=number, title="", embedding="", chunks=())
        )
    return mark
