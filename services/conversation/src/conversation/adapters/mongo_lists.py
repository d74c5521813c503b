"""What is looked up of a thread as a whole, on MongoDB: within a transaction where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from contracts.ids import RUN, first_id
from pymongo.asynchronous.client_session import AsyncClientSession
from store.database import Database
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.domain.branches import Stub
from conversation.domain.entities import Message, Run
from conversation.domain.schedules import Schedule


class MongoLists:
    """list_ports.Lists."""

    def __init__(self, database: Database, session: AsyncClientSession | None = None) -> None:
        self._database = database
        self._session = session

    async def stubs(self, thread_id: str, after: int = 0) -> Sequence[Stub]:
        fields = {"parent_message_id": 1, "position": 1, "created_at": 1}
        with translated():
            cursor = self._database.collection(schema.MESSAGES).find(
                {"thread_id": thread_id, "position": {"$gt": after}}, fields, session=self._session
            )
            return [
                Stub(found["_id"], found["parent_message_id"], found["position"], found["created_at"])
                for found in await cursor.sort("position", 1).to_list()
            ]

    async def messages_of(self, message_ids: Sequence[str]) -> Sequence[Message]:
        return [
            d.message_of(found)
            for found in await self._found(schema.MESSAGES, {"_id": {"$in": list(message_ids)}}, "position")
        ]

    async def schedules(self, thread_id: str) -> Sequence[Schedule]:
        return [schedule_of(found) for found in await self._found(schema.SCHEDULES, {"thread_id": thread_id}, "_id")]

    async def schedule(self, schedule_id: str) -> Schedule | None:
        found = await self._found(schema.SCHEDULES, {"_id": schedule_id}, "_id", 1)
        return schedule_of(found[0]) if found else None

    async def overdue_schedules(self, before: datetime, limit: int) -> Sequence[Schedule]:
        query = {"next_at": {"$lt": before}}
        return [schedule_of(found) for found in await self._found(schema.SCHEDULES, query, "next_at", limit)]

    async def runs(self, user_id: str, thread_id: str, since: datetime, limit: int) -> Sequence[Run]:
        # An id begins with the time it was made, so this needs no index of its own.
        whose = {"thread_id": thread_id} if thread_id else {"user_id": user_id}
        query = {"_id": {"$gte": first_id(RUN, since.timestamp())}, **whose}
        return [d.run_of(found) for found in await self._found(schema.RUNS, query, "_id", limit, -1)]

    async def _found(
        self, collection: str, query: Mapping[str, Any], order: str, limit: int | None = None, direction: int = 1
    ) -> list[d.Document]:
        with translated():
            cursor = self._database.collection(collection).find(query, session=self._session)
            return await cursor.sort(order, direction).to_list(limit)


def schedule_document(schedule: Schedule) -> d.Document:
    """A new schedule."""
    return {
        "_id": schedule.id,
        "thread_id": schedule.thread_id,
        "created_at": schedule.created_at,
        **progress_fields(schedule),
        **changed_fields(schedule),
    }


def changed_fields(schedule: Schedule) -> d.Document:
    """What people choose, and when it is sent next by that."""
    return {
        "user_id": schedule.user_id,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "content": schedule.content,
        "model": schedule.model,
        "agent": schedule.agent,
        "on_busy": schedule.on_busy,
        "roles": list(schedule.roles),
        "next_at": schedule.next_at,
        # As long as nobody has changed it, it is stored as it was before there were revisions.
        **({"revision": schedule.revision, "paused": schedule.paused} if schedule.revision > 1 else {}),
    }


def of_revision(revision: int) -> d.Document:
    """The query for what has this revision."""
    return {"revision": revision} if revision > 1 else {"revision": {"$exists": False}}


def progress_fields(schedule: Schedule) -> d.Document:
    """What changes with each time it is sent."""
    return {
        "next_at": schedule.next_at,
        "last_run_id": schedule.last_run_id,
        "last_refusal": schedule.last_refusal,
    }


def schedule_of(document: d.Document) -> Schedule:
    """Read it back."""
    values = {name: document[name] for name in _STORED if name in document}
    return Schedule(id=document["_id"], roles=tuple(document["roles"]), **values)


_STORED: Final = tuple(field.name for field in fields(Schedule) if field.name not in ("id", "roles"))
"""A later version may store more."""
