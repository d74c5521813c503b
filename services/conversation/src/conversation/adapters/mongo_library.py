"""Documents on MongoDB: what is known of one, and its content, in two collections, so that lists never read contents."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from bson.binary import Binary
from contracts.commands import DocumentCommand, ForgetDocument, ReadDocument
from contracts.subjects import document_command_subject
from pymongo.errors import DuplicateKeyError
from store.database import Database, Transaction
from store.faults import translated

from conversation.adapters.schema import DOCUMENT_CONTENTS, DOCUMENTS
from conversation.domain.library import OPEN, Document, DocumentState

_FIELDS: Final = ("corpus", "title", "media_type", "url", "size", "state", "created_at", "done", "total", "error")


class MongoLibrary:
    """library_ports.Library over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, document: Document, data: bytes) -> bool:
        """See library_ports.Library."""

        async def once(transaction: Transaction) -> None:
            session = transaction.session
            await self._database.collection(DOCUMENTS).insert_one(_stored(document), session=session)
            content = {"_id": document.id, "data": Binary(data)}
            await self._database.collection(DOCUMENT_CONTENTS).insert_one(content, session=session)
            _emit(transaction, "read", ReadDocument(document_id=document.id, corpus=document.corpus))

        try:
            await self._database.transaction(once)
        except DuplicateKeyError:
            return False
        return True

    async def get(self, document_id: str) -> Document | None:
        """See library_ports.Library."""
        with translated():
            found = await self._database.collection(DOCUMENTS).find_one({"_id": document_id})
        return None if found is None else _document(found)

    async def content(self, document_id: str) -> bytes | None:
        """See library_ports.Library."""
        with translated():
            found = await self._database.collection(DOCUMENT_CONTENTS).find_one({"_id": document_id})
        return None if found is None else bytes(found["data"])

    async def of(self, corpus: str, *, before: str, limit: int) -> Sequence[Document]:
        """See library_ports.Library."""
        query: dict[str, Any] = {"corpus": corpus}
        if before:
            query["_id"] = {"$lt": before}
        with translated():
            cursor = self._database.collection(DOCUMENTS).find(query).sort("_id", -1)
            return [_document(found) for found in await cursor.to_list(limit)]

    async def count(self, corpus: str, most: int) -> int:
        """See library_ports.Library."""
        with translated():
            return await self._database.collection(DOCUMENTS).count_documents({"corpus": corpus}, limit=most)

    async def record(self, document_id: str, state: DocumentState, *, done: int, total: int, error: str) -> None:
        """See library_ports.Library."""
        with translated():
            await self._database.collection(DOCUMENTS).update_one(
                {"_id": document_id, "state": {"$in": list(OPEN)}},
                {"$set": {"state": state, "done": done, "total": total, "error": error}},
            )

    async def delete(self, document: Document) -> None:
        """See library_ports.Library."""

        async def once(transaction: Transaction) -> None:
            for name in (DOCUMENTS, DOCUMENT_CONTENTS):
                await self._database.collection(name).delete_one({"_id": document.id}, session=transaction.session)
            _emit(transaction, "forget", ForgetDocument(document_id=document.id, corpus=document.corpus))

        await self._database.transaction(once)


def _emit(transaction: Transaction, verb: str, command: DocumentCommand) -> None:
    subject = document_command_subject(command.document_id, verb)
    transaction.emit(subject, msgspec.json.encode(command), message_id=f"{command.document_id}:{verb}")


def _stored(document: Document) -> dict[str, Any]:
    values = {name: getattr(document, name) for name in _FIELDS}
    return {"_id": document.id, **values, "digest": Binary(document.digest)}


def _document(found: dict[str, Any]) -> Document:
    return Document(id=found["_id"], digest=bytes(found["digest"]), **{name: found[name] for name in _FIELDS})
