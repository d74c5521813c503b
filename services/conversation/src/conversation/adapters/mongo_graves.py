"""Deletions on MongoDB, and what they delete there. No transaction: each step is idempotent and bounded."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from contracts.subjects import execute_subject, fact_subjects, timer_subject
from store.database import Database, Transaction
from store.faults import translated
from store.outbox import COLLECTION as OUTBOX

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.adapters.mongo_writes import MongoWrites
from conversation.domain.deletion import Deletion
from conversation.domain.entities import Thread
from conversation.lifetime_ports import BurialWrites

T = TypeVar("T")
PIECE: Final = 500


class MongoGraves:
    """lifetime_ports.Graves over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def transaction(self, body: Callable[[BurialWrites], Awaitable[T]]) -> T:
        async def once(transaction: Transaction) -> T:
            return await body(MongoWrites(self._database, transaction))

        return await self._database.transaction(once)

    async def due(self, now: datetime, limit: int) -> Sequence[Deletion]:
        with translated():
            cursor = self._database.collection(schema.DELETIONS).find({"next_at": {"$lte": now}}).sort("next_at", 1)
            return [d.deletion_of(found) for found in await cursor.to_list(limit)]

    async def take(self, deletion: Deletion, until: datetime) -> bool:
        with translated():
            taken = await self._database.collection(schema.DELETIONS).update_one(
                {"_id": deletion.thread_id, "next_at": deletion.next_at}, {"$set": {"next_at": until}}
            )
        return taken.modified_count == 1

    async def clear(self, deletion: Deletion) -> int:
        with translated():
            for name in schema.OF_A_THREAD:
                if count := await self._clear(name, {"thread_id": deletion.thread_id}):
                    return count
            return await self._clear(OUTBOX, _rows_of(deletion))

    async def _clear(self, name: str, query: d.Document) -> int:
        collection = self._database.collection(name)
        ids = [found["_id"] for found in await collection.find(query, {"_id": 1}).to_list(PIECE)]
        if ids:
            await collection.delete_many({"_id": {"$in": ids}})
        return len(ids)

    async def put_back(self, deletion: Deletion) -> None:
        with translated():
            await self._database.collection(schema.DELETIONS).update_one(
                {"_id": deletion.thread_id}, {"$set": {"next_at": deletion.next_at, "passes": deletion.passes}}
            )

    async def finish(self, deletion: Deletion) -> None:
        with translated():
            await self._database.collection(schema.DELETIONS).delete_one({"_id": deletion.thread_id})

    async def threads_after(self, thread_id: str, limit: int) -> Sequence[Thread]:
        with translated():
            cursor = self._database.collection(schema.THREADS).find({"_id": {"$gt": thread_id}}).sort("_id", 1)
            return [d.thread_of(found) for found in await cursor.to_list(limit)]


def _rows_of(deletion: Deletion) -> d.Document:
    """What waits to be told of the thread, but that it was deleted."""
    facts = fact_subjects(deletion.thread_id).removesuffix(">")
    timers = [timer_subject("schedule", schedule_id) for schedule_id in deletion.schedule_ids]
    runs = [
        subject for run_id in deletion.run_ids for subject in (execute_subject(run_id), timer_subject("run", run_id))
    ]
    return {
        "$or": [
            # A range and no pattern: the slash is what comes behind the dot.
            {"subject": {"$gte": facts, "$lt": facts.removesuffix(".") + "/", "$ne": facts + "thread.deleted"}},
            {"subject": {"$in": runs + timers}},
        ]
    }
