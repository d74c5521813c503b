"""Carry out commands about documents: read an upload into passages, take a deleted one's away."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog
from contracts.commands import DocumentCommand, ForgetDocument, ReadDocument

from inference.retrieval.domain.records import DocumentHead
from inference.retrieval.handlers.delete_document import delete_document
from inference.retrieval.handlers.ingest_document import ingest_document
from inference.retrieval.ports import CorpusLog, Embeddings, Splitter, UploadGoneError, Uploads

logger = structlog.get_logger()

PROGRESS_SECONDS: Final = 1.0
"""Between two reports of how far a document is read: a person watches it, so more would only be written."""


class UploadReader:
    """Idempotent: a command may be carried out again from its beginning at any point. `stamp` gives the time for records."""

    def __init__(
        self, *, uploads: Uploads, log: CorpusLog, splitter: Splitter, embeddings: Embeddings, stamp: Callable[[], str]
    ) -> None:
        self._uploads, self._log, self._splitter = uploads, log, splitter
        self._embeddings, self._stamp = embeddings, stamp

    async def carry_out(self, command: DocumentCommand) -> None:
        """Raises CorpusUnavailableError, CorpusFullError, UploadsUnavailableError: then it is to be tried again."""
        match command:
            case ReadDocument():
                await self._read(command.document_id)
            case ForgetDocument():
                await delete_document(command.corpus, command.document_id, log=self._log, at=self._stamp())
                logger.info("document.forgotten", document_id=command.document_id)

    async def _read(self, document_id: str) -> None:
        try:
            document = await self._uploads.get(document_id)
        except UploadGoneError:
            # Deleted before it was read: nothing of it is anywhere.
            return
        progress = _Progress()
        await self._uploads.record(document_id, "reading")
        reporting = asyncio.create_task(self._report(document_id, progress))
        try:
            head = await ingest_document(
                document,
                log=self._log,
                splitter=self._splitter,
                embeddings=self._embeddings,
                at=self._stamp(),
                progress=progress.note,
            )
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
        await self._record_end(document_id, head)

    async def _report(self, document_id: str, progress: "_Progress") -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            if progress.total:
                # The next one says more; only how it ended must arrive.
                with contextlib.suppress(Exception):
                    await self._uploads.record(document_id, "reading", done=progress.done, total=progress.total)

    async def _record_end(self, document_id: str, head: DocumentHead) -> None:
        match head.state:
            case "ready":
                await self._uploads.record(document_id, "ready", done=head.chunks, total=head.chunks)
                logger.info("document.ready", document_id=document_id, passages=head.chunks)
            case "failed":
                await self._uploads.record(document_id, "failed", error=head.error)
                logger.info("document.failed", document_id=document_id)
            case "deleted":
                return


class _Progress:
    """How far it is."""

    def __init__(self) -> None:
        self.done = self.total = 0

    def note(self, done: int, total: int) -> None:
        self.done, self.total = done, total
