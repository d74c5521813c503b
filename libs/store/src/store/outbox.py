"""The outbox: what a transaction says to the broker, stored with what it changed."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bson.binary import Binary
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from runtime import telemetry
from ulid import ULID

from store.faults import translated

COLLECTION: Final = "outbox"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One message to publish. `id` sorts by time of creation; `message_id` is its `Nats-Msg-Id`, the same however often it
    is published; `headers` hold the W3C trace context of the transaction."""

    id: str
    subject: str
    payload: bytes
    message_id: str
    headers: Mapping[str, str]
    created_at: datetime


class _Sequence:
    """ULIDs that rise strictly within this process, so that rows of one transaction keep their order."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> str:
        with self._lock:
            self._last = max(self._last + 1, int(ULID()))
            return str(ULID.from_int(self._last))


_ids = _Sequence()


def new_row(subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None) -> OutboxRow:
    """A row with the trace context of the caller."""
    return OutboxRow(
        id=_ids.next(),
        subject=subject,
        payload=payload,
        message_id=message_id,
        headers=dict(telemetry.inject(dict(headers or {}))),
        created_at=datetime.now(UTC),
    )


class Outbox:
    """The collection of rows that are not yet known to be published."""

    def __init__(self, collection: AsyncCollection[Document]) -> None:
        self._collection = collection

    async def add(self, rows: Sequence[OutboxRow], session: AsyncClientSession) -> None:
        """Store rows as part of a transaction, in one command."""
        await self._collection.insert_many([_document_of(row) for row in rows], session=session)

    async def oldest(self, *, before: datetime, after_id: str = "", limit: int) -> list[OutboxRow]:
        """Rows created before a moment, oldest first, a page at a time. Raises StoreUnavailableError."""
        # The id is a ULID, so the moment is a bound on the key itself and needs no index of its own.
        bound = str(ULID.from_datetime(before))[:10]
        query = {"_id": {"$gt": after_id, "$lt": bound}}
        with translated():
            return [_row_of(found) for found in await self._collection.find(query).sort("_id", 1).to_list(limit)]

    async def count(self) -> int:
        """About how many rows there are. Raises StoreUnavailableError."""
        with translated():
            return await self._collection.estimated_document_count()

    async def delete(self, ids: Sequence[str]) -> None:
        """Forget rows that the broker has acknowledged. Idempotent. Raises StoreUnavailableError."""
        with translated():
            await self._collection.delete_many({"_id": {"$in": list(ids)}})


def _document_of(row: OutboxRow) -> Document:
    return {
        "_id": row.id,
        "subject": row.subject,
        "payload": Binary(row.payload),
        "message_id": row.message_id,
        "headers": dict(row.headers),
        "created_at": row.created_at,
    }


def _row_of(document: Document) -> OutboxRow:
    return OutboxRow(
        id=document["_id"],
        subject=document["subject"],
        payload=bytes(document["payload"]),
        message_id=document["message_id"],
        headers=document["headers"],
        created_at=document["created_at"],
    )
