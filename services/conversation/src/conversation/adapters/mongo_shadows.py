"""Shadow runs on MongoDB: figures without text, in a collection of their own that no list and no sum looks at."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from contracts.ids import RUN, first_id
from contracts.run_state import RunState
from pymongo.asynchronous.client_session import AsyncClientSession
from store.database import Database
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.domain.entities import OPEN, Run
from conversation.domain.shadows import Shadow

_AT_ONCE: Final = 100


class MongoShadows:
    """ports.Shadows over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, run_id: str) -> Shadow | None:
        with translated():
            found = await self._database.collection(schema.SHADOWS).find_one({"_id": run_id})
        return None if found is None else _shadow_of(found)

    async def newest(self, since: datetime, limit: int) -> Sequence[Shadow]:
        query = {"_id": {"$gte": first_id(RUN, since.timestamp())}}
        with translated():
            cursor = self._database.collection(schema.SHADOWS).find(query).sort("_id", -1)
            return [_shadow_of(found) for found in await cursor.to_list(limit)]

    async def served(self, run_ids: Sequence[str]) -> Sequence[Run]:
        with translated():
            cursor = self._database.collection(schema.RUNS).find({"_id": {"$in": list(run_ids)}})
            return [d.run_of(found) for found in await cursor.to_list()]

    async def count_checkpoint(self, state: RunState) -> None:
        await self._update(
            {"_id": state.run_id, "status": {"$in": list(OPEN)}, "sequence": {"$lt": state.sequence}},
            {"$set": {"status": "generating", "sequence": state.sequence}, "$inc": {"checkpoints": 1}},
        )

    async def end(
        self, state: RunState, ended_at: datetime, *, similarity: float, equal: bool, clear_at: datetime
    ) -> bool:
        return await self._update(
            {"_id": state.run_id, "status": {"$in": list(OPEN)}},
            {
                "$set": {
                    "status": state.status,
                    "ended_at": ended_at,
                    "usage": d.usage_field(state.usage),
                    "cost_microusd": state.cost_microusd,
                    "error_code": state.error_code or "",
                    "attempts": state.attempt,
                    "similarity": similarity,
                    "equal": equal,
                    "clear_at": clear_at,
                    **d.first_text_field(state),
                }
            },
        )

    async def to_clear(self, now: datetime) -> Sequence[Shadow]:
        with translated():
            cursor = self._database.collection(schema.SHADOWS).find({"clear_at": {"$lte": now}})
            return [_shadow_of(found) for found in await cursor.to_list(_AT_ONCE)]

    async def cleared(self, run_id: str) -> None:
        await self._update({"_id": run_id}, {"$unset": {"clear_at": ""}})

    async def _update(self, query: d.Document, update: d.Document) -> bool:
        with translated():
            changed = await self._database.collection(schema.SHADOWS).update_one(query, update)
        return changed.modified_count == 1


async def add_shadow(database: Database, shadow: Shadow, session: AsyncClientSession) -> None:
    """Store a new one, in the transaction that ends the run it repeats."""
    document: dict[str, Any] = {
        "_id": shadow.id,
        "thread_id": shadow.thread_id,
        "message_id": shadow.message_id,
        "served_run_id": shadow.served_run_id,
        "served_message_id": shadow.served_message_id,
        "model": shadow.model,
        "created_at": shadow.created_at,
        "clear_at": shadow.clear_at,
        "status": shadow.status,
        "sequence": 0,
        "checkpoints": 0,
    }
    await database.collection(schema.SHADOWS).insert_one(document, session=session)


def _shadow_of(document: d.Document) -> Shadow:
    return Shadow(
        id=document["_id"],
        thread_id=document["thread_id"],
        message_id=document["message_id"],
        served_run_id=document["served_run_id"],
        served_message_id=document["served_message_id"],
        model=document["model"],
        created_at=document["created_at"],
        clear_at=document.get("clear_at"),
        status=document["status"],
        ended_at=document.get("ended_at"),
        first_text_at=document.get("first_text_at"),
        usage=d.usage_of(document.get("usage")),
        cost_microusd=document.get("cost_microusd"),
        error_code=document.get("error_code", ""),
        attempts=document.get("attempts", 0),
        checkpoints=document["checkpoints"],
        equal=document.get("equal", False),
        similarity=document.get("similarity"),
    )
