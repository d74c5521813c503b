"""What conversation keeps, on MongoDB."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from contracts.ids import RUN, first_id
from contracts.run_state import RunState
from pymongo.errors import DuplicateKeyError
from store.database import Database, Transaction
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.adapters.mongo_joined import asked_of, watched_of
from conversation.adapters.mongo_lists import MongoLists
from conversation.adapters.mongo_shadows import MongoShadows
from conversation.adapters.mongo_thread_list import MongoThreadList
from conversation.adapters.mongo_writes import MongoWrites
from conversation.domain.context import Asked
from conversation.domain.entities import OPEN, Message, Preferences, Run, Thread, User, Watched
from conversation.domain.pages import ThreadKey
from conversation.ports import Shadows, Writes

T = TypeVar("T")
_TIMES: Final = 3
_HISTORY_PAGE: Final = 20


class MongoRecords(MongoLists):
    """ports.Records over one database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.shadows: Final[Shadows] = MongoShadows(database)
        self._thread_list = MongoThreadList(database)

    async def transaction(self, body: Callable[[Writes], Awaitable[T]]) -> T:
        async def once(transaction: Transaction) -> T:
            return await body(MongoWrites(self._database, transaction))

        for _ in range(_TIMES - 1):
            try:
                return await self._database.transaction(once)
            except DuplicateKeyError:
                # Somebody else stored the same key (an idempotency key, a new user) after this transaction had looked.
                # Looking again finds it.
                continue
        return await self._database.transaction(once)

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        found = await self._find(schema.THREADS, {"_id": thread_id})
        return None if found is None else d.thread_for(found, user_id)

    async def threads(
        self, user_id: str, *, archived: bool | None, after: ThreadKey | None, limit: int
    ) -> Sequence[Thread]:
        return await self._thread_list.page(user_id, archived=archived, after=after, limit=limit)

    async def messages(self, thread_id: str, *, after: int, limit: int) -> Sequence[Message]:
        query = {"thread_id": thread_id, "position": {"$gt": after}}
        with translated():
            cursor = self._database.collection(schema.MESSAGES).find(query).sort("position", 1)
            return [d.message_of(found) for found in await cursor.to_list(limit)]

    async def messages_before(self, thread_id: str, position: int) -> AsyncGenerator[Message, None]:
        # Pages by key, not one cursor: a cursor left half read would stay open on the server.
        while position > 1:
            query = {"thread_id": thread_id, "position": {"$lt": position}}
            with translated():
                cursor = self._database.collection(schema.MESSAGES).find(query).sort("position", -1)
                page = await cursor.to_list(_HISTORY_PAGE)
            if not page:
                return
            for found in page:
                yield d.message_of(found)
            position = page[-1]["position"]

    async def message(self, message_id: str) -> Message | None:
        found = await self._find(schema.MESSAGES, {"_id": message_id})
        return None if found is None else d.message_of(found)

    async def run(self, run_id: str) -> Run | None:
        found = await self._find(schema.RUNS, {"_id": run_id})
        return None if found is None else d.run_of(found)

    async def watched(self, user_id: str, run_id: str) -> Watched | None:
        with translated():
            return await watched_of(self._database, user_id, run_id)

    async def asked(self, run_id: str) -> Asked | None:
        with translated():
            return await asked_of(self._database, run_id)

    async def user(self, user_id: str) -> User | None:
        found = await self._find(schema.USERS, {"_id": user_id})
        return None if found is None else d.user_of(found)

    async def ensure_user(self, user: User) -> User:
        return await self._upsert_user(user, {})

    async def change_preferences(self, user: User, changes: Mapping[str, str]) -> Preferences:
        return (await self._upsert_user(user, changes)).preferences

    async def show_progress(self, state: RunState) -> None:
        content = state.content
        with translated():
            await self._database.collection(schema.MESSAGES).update_one(
                {"_id": state.message_id, "status": {"$in": list(OPEN)}, "sequence": {"$lt": state.sequence}},
                {
                    "$set": {
                        "status": "generating",
                        "content": content,
                        "parts": d.parts_field(state.message_parts, content),
                        "sequence": state.sequence,
                        "waiting": state.status == "waiting",
                    },
                    "$inc": {"operations": 1},
                },
            )

    async def unheard_runs(self, now: datetime, limit: int) -> Sequence[Run]:
        with translated():
            cursor = self._database.collection(schema.RUNS).find({"check_at": {"$lte": now}}).sort("check_at", 1)
            return [d.run_of(found) for found in await cursor.to_list(limit)]

    async def newest_runs(self, path: str, since: datetime, limit: int) -> Sequence[Run]:
        # An id begins with the time it was made, so this needs no index of its own.
        query = {"_id": {"$gte": first_id(RUN, since.timestamp())}, "path": path}
        with translated():
            cursor = self._database.collection(schema.RUNS).find(query).sort("_id", -1)
            return [d.run_of(found) for found in await cursor.to_list(limit)]

    async def operations(self, message_ids: Sequence[str]) -> Mapping[str, int]:
        if not message_ids:
            return {}
        query = {"_id": {"$in": list(message_ids)}, "operations": {"$exists": True}}
        with translated():
            cursor = self._database.collection(schema.MESSAGES).find(query, {"operations": 1})
            return {found["_id"]: found["operations"] for found in await cursor.to_list()}

    async def note_departure(self, run_id: str, at: datetime) -> str | None:
        with translated():
            runs = self._database.collection(schema.RUNS)
            changed = await runs.update_one(
                {"_id": run_id, "departed_at": {"$exists": False}}, {"$set": {"departed_at": at}}
            )
            found = await runs.find_one({"_id": run_id}, {"path": 1}) if changed.modified_count else None
        return None if found is None else str(found["path"])

    async def check_run_again(self, run: Run, check_at: datetime) -> None:
        with translated():
            await self._database.collection(schema.RUNS).update_one(
                {"_id": run.id, "status": {"$in": list(OPEN)}}, {"$set": {"check_at": check_at}}
            )

    async def _upsert_user(self, user: User, changes: Mapping[str, Any]) -> User:
        fresh = {name: value for name, value in d.user_document(user).items() if name not in ("_id", *changes)}
        update: d.Document = {"$setOnInsert": fresh}
        if changes:
            update["$set"] = dict(changes)
        users = self._database.collection(schema.USERS)
        with translated():
            for _ in range(_TIMES):
                try:
                    await users.update_one({"_id": user.id}, update, upsert=True)
                except DuplicateKeyError:
                    # Two upserts of a new document at once: one of them inserts, the other may be told so.
                    continue
                found = await users.find_one({"_id": user.id})
                if found is not None:
                    return d.user_of(found)
        raise AssertionError("an upsert left no document, and nobody deletes users")

    async def _find(self, collection: str, query: d.Document) -> d.Document | None:
        with translated():
            return await self._database.collection(collection).find_one(query)
