"""Ingest: text out of the document, pieces, vectors, onto the stream. Safe to repeat from the beginning at any point."""

from collections.abc import Callable, Sequence
from typing import Final

from contracts.ids import DOCUMENT, check_corpus, check_id

from inference.retrieval.domain.records import BATCH, Chunk, ChunkBatch, DocumentHead, pack_vector
from inference.retrieval.handlers.delete_document import delete_document
from inference.retrieval.ports import CorpusLog, Document, Embeddings, Piece, Splitter, UnreadableDocumentError

MOST_CHUNKS: Final = 20_000
"""Of one document: about 20 MB of text."""

Progress = Callable[[int, int], None]
"""Called with chunks done and chunks in all. Does not block."""


async def ingest_document(
    document: Document,
    *,
    log: CorpusLog,
    splitter: Splitter,
    embeddings: Embeddings,
    at: str,
    progress: Progress = lambda done, total: None,
) -> DocumentHead:
    """Make the document searchable and return its head, which is stored too.

    A document that is done with is not ingested again: its head is returned as it is, so a repeated command does nothing. One
    that cannot be read is stored as failed, with a sentence. Raises CorpusUnavailableError and CorpusFullError, after which
    repeating is safe: every batch has its own subject.
    """
    check_corpus(document.corpus)
    check_id(DOCUMENT, document.document_id)
    known = await log.mark(document.corpus, document.document_id) or await log.head(
        document.corpus, document.document_id
    )
    if known is not None:
        return known
    try:
        pieces = await splitter.split(document.data, document.media_type)
        if len(pieces) > MOST_CHUNKS:
            raise UnreadableDocumentError(
                f"The document has {len(pieces)} passages; at most {MOST_CHUNKS} are taken. Upload it in parts."
            )
    except UnreadableDocumentError as error:
        failed = _head(document, at=at, error=str(error))
        await log.append(failed)
        return failed
    batches = [pieces[start : start + BATCH] for start in range(0, len(pieces), BATCH)]
    for number, batch in enumerate(batches):
        await log.append(await _embedded(document, number, batch, embeddings))
        progress(number * BATCH + len(batch), len(pieces))
    head = _head(document, at=at, batches=len(batches), chunks=len(pieces))
    await log.append(head)
    if await log.mark(document.corpus, document.document_id) is not None:
        # Deleted while it was read: what was written since then must go as well.
        return await delete_document(document.corpus, document.document_id, log=log, at=at, batches=len(batches))
    return head


async def _embedded(document: Document, number: int, pieces: Sequence[Piece], embeddings: Embeddings) -> ChunkBatch:
    # The heading says what a passage is about when the passage itself does not.
    texts = [f"{piece.heading}\n{piece.text}" if piece.heading else piece.text for piece in pieces]
    vectors = await embeddings.embed(texts, "document")
    return ChunkBatch(
        corpus=document.corpus,
        document_id=document.document_id,
        number=number,
        title=document.title,
        embedding=embeddings.name,
        url=document.url,
        chunks=tuple(
            Chunk(
                number=number * BATCH + index,
                text=piece.text,
                page=piece.page,
                heading=piece.heading,
                vector=pack_vector(vector),
            )
            for index, (piece, vector) in enumerate(zip(pieces, vectors, strict=True))
        ),
    )


def _head(document: Document, *, at: str, batches: int = 0, chunks: int = 0, error: str = "") -> DocumentHead:
    return DocumentHead(
        corpus=document.corpus,
        document_id=document.document_id,
        state="failed" if error else "ready",
        title=document.title,
        at=at,
        url=document.url,
        media_type=document.media_type,
        size=len(document.data),
        batches=batches,
        chunks=chunks,
        error=error,
    )
