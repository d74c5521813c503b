"""The stream CORPORA over the bus."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog
from bus.api import Bus, Entry
from bus.errors import BusError, StreamFullError
from contracts.subjects import corpus_subjects, document_subject
from contracts.topology import CORPORA
from ulid import ULID

from inference.retrieval.domain.records import DocumentHead, Record, decode_record, encode_record
from inference.retrieval.ports import CorpusFullError, CorpusUnavailableError

logger = structlog.get_logger()

HEAD: Final = "head"
MARK: Final = "deleted"


class BusCorpusLog:
    """CorpusLog over a Bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def append(self, record: Record) -> int:
        """Store an entry in place of the one before it."""
        if isinstance(record, DocumentHead):
            entry = MARK if record.state == "deleted" else HEAD
        else:
            entry = f"chunks-{record.number}"
        subject = document_subject(record.corpus, record.document_id, entry)
        try:
            # A new id each time: the same batch written again after a deletion must not pass for a duplicate.
            return await self._bus.publish(subject, encode_record(record), message_id=str(ULID()))
        except StreamFullError as error:
            raise CorpusFullError("the store of documents is full") from error
        except BusError as error:
            raise CorpusUnavailableError(f"the store of documents did not answer: {error}") from error

    async def head(self, corpus: str, document_id: str) -> DocumentHead | None:
        """What became of a document."""
        return await self._document(corpus, document_id, HEAD)

    async def mark(self, corpus: str, document_id: str) -> DocumentHead | None:
        """The mark that it is deleted."""
        return await self._document(corpus, document_id, MARK)

    async def _document(self, corpus: str, document_id: str, entry: str) -> DocumentHead | None:
        found = await self._last(document_subject(corpus, document_id, entry))
        record = _record(found) if found is not None else None
        return record if isinstance(record, DocumentHead) else None

    async def newest(self, corpus: str) -> int:
        """The place of the newest entry."""
        found = await self._last(corpus_subjects(corpus))
        return found.stream_sequence if found is not None else 0

    async def _last(self, subject: str) -> Entry | None:
        try:
            return await self._bus.last_of(CORPORA.name, subject)
        except BusError as error:
            raise CorpusUnavailableError(f"the store of documents did not answer: {error}") from error

    async def read(self, corpus: str, *, after: int) -> AsyncIterator[tuple[int, Record]]:
        """The entries after a place."""
        try:
            async for entry in self._bus.read_stream(CORPORA.name, corpus_subjects(corpus), after=after):
                record = _record(entry)
                if record is not None:
                    yield entry.stream_sequence, record
        except BusError as error:
            raise CorpusUnavailableError(f"the store of documents did not answer: {error}") from error


def _record(entry: Entry) -> Record | None:
    """The entry, or None where a newer version wrote what this one cannot read; it is found again after the update."""
    try:
        return decode_record(entry.data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        logger.warning("corpus.unreadable", stream_sequence=entry.stream_sequence, error=str(error))
        return None
