"""One transaction on MongoDB. As few commands as possible: each is a round trip, and a transaction holds others up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.run_state import RunState
from runtime import operations
from store.database import Database, Transaction
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.adapters.mongo_joined import opening_of
from conversation.adapters.mongo_lists import (
    MongoLists,
    changed_fields,
    of_revision,
    progress_fields,
    schedule_document,
)
from conversation.adapters.mongo_shadows import add_shadow
from conversation.adapters.outgoing import headers_of
from conversation.domain.acceptance import Acceptance, Opening, Remembered
from conversation.domain.appending import Appended
from conversation.domain.deletion import AT_ONCE, Deletion
from conversation.domain.entities import OPEN, Message, Outgoing, Run, Thread, User
from conversation.domain.schedules import Schedule
from conversation.domain.shadows import Shadow


def _counted(message: Message) -> d.Document:
    """A new message; an answer with what its acceptance takes: the commands so far, these inserts, the outbox, the commit."""
    document = d.message_document(message)
    return document | {"operations": operations.counted() + 4} if message.status == "pending" else document


def _place_of(document: d.Document) -> Appended:
    return Appended(document["_id"], document["parent_message_id"], document["position"])


class MongoWrites(MongoLists):
    """ports.Writes over a transaction of the store."""

    def __init__(self, database: Database, transaction: Transaction) -> None:
        super().__init__(database, transaction.session)
        self._transaction = transaction

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        found = await self._find(schema.THREADS, {"_id": thread_id})
        return None if found is None else d.thread_for(found, user_id)

    async def opening(self, user_id: str, thread_id: str, key: str) -> Opening | None:
        return await opening_of(self._database, self._transaction.session, user_id, thread_id, key)

    async def any_thread(self, thread_id: str) -> Thread | None:
        found = await self._find(schema.THREADS, {"_id": thread_id})
        return None if found is None else d.thread_of(found)

    async def user(self, user_id: str) -> User | None:
        found = await self._find(schema.USERS, {"_id": user_id})
        return None if found is None else d.user_of(found)

    async def message(self, thread_id: str, message_id: str) -> Message | None:
        found = await self._find(schema.MESSAGES, {"_id": message_id, "thread_id": thread_id})
        return None if found is None else d.message_of(found)

    async def appended_behind(self, thread_id: str, last: Message | None) -> Sequence[Appended]:
        # One range of an index and nothing else: what more a query asks for has the embedded server read the whole thread.
        behind = {"thread_id": thread_id, "position": {"$gt": 0 if last is None else last.position}}
        parts = {"$cond": [{"$eq": ["$role", "tool"]}, "$parts", ""]}
        fields = {"parent_message_id": 1, "position": 1, "role": 1, "service": 1, "parts": parts}
        asked = {last.id} if last is not None and last.service else set()
        appended: list[Appended] = []
        with translated():
            cursor = self._database.collection(schema.MESSAGES).find(behind, fields, session=self._session)
            # One at a time: what a service appended may be large, and all that is kept of it is its place.
            async for found in cursor.sort("position", 1):
                if found.get("service"):
                    asked.add(found["_id"])
                    kept = True
                elif found["role"] == "tool":
                    kept = not d.holds_results(found["parts"])
                else:
                    kept = found["role"] == "assistant" and found["parent_message_id"] in asked
                if kept:
                    appended.append(_place_of(found))
        return appended

    async def run(self, run_id: str) -> Run | None:
        found = await self._find(schema.RUNS, {"_id": run_id})
        return None if found is None else d.run_of(found)

    async def add_message(self, message: Message) -> None:
        await self._insert(schema.MESSAGES, d.message_document(message))

    async def add_messages(self, messages: Sequence[Message]) -> None:
        if messages:
            await self._insert(schema.MESSAGES, *map(d.message_document, messages))

    async def add_schedule(self, schedule: Schedule) -> None:
        await self._insert(schema.SCHEDULES, schedule_document(schedule))

    async def advance_schedule(self, schedule: Schedule, changed: Schedule) -> bool:
        done = await self._database.collection(schema.SCHEDULES).update_one(
            {"_id": schedule.id, "next_at": schedule.next_at, **of_revision(schedule.revision)},
            {"$set": progress_fields(changed)},
            session=self._session,
        )
        return done.modified_count == 1

    async def change_schedule(self, schedule: Schedule, changed: Schedule) -> None:
        await self._set(schema.SCHEDULES, schedule.id, changed_fields(changed))

    async def delete_schedule(self, thread_id: str, schedule_id: str) -> bool:
        done = await self._database.collection(schema.SCHEDULES).delete_one(
            {"_id": schedule_id, "thread_id": thread_id}, session=self._session
        )
        return done.deleted_count == 1

    async def change_message(self, message_id: str, changes: Mapping[str, Any]) -> None:
        await self._set(schema.MESSAGES, message_id, changes)

    async def change_run(self, run_id: str, changes: Mapping[str, Any]) -> None:
        await self._update_open_run(run_id, {"$set": dict(changes)})

    async def add_steer(self, run_id: str, message_id: str) -> None:
        await self._update_open_run(run_id, {"$push": {"steers": message_id}})

    async def remember(self, user_id: str, key: str, remembered: Remembered, now: datetime) -> None:
        await self._insert(schema.KEYS, d.remembered_document(user_id, key, remembered, now))

    async def remembered(self, user_id: str, key: str) -> Remembered | None:
        found = await self._find(schema.KEYS, {"_id": d.key_id(user_id, key)})
        return None if found is None else d.remembered_of(found)

    async def add_user(self, user: User) -> None:
        await self._insert(schema.USERS, d.user_document(user))

    async def add_thread(self, thread: Thread) -> None:
        await self._insert(schema.THREADS, d.thread_document(thread))

    async def change_thread(self, thread: Thread, changes: Mapping[str, Any]) -> None:
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
        await self._set(schema.THREADS, thread.id, {**values, "updated_at": thread.updated_at})

    async def open_run_ids(self, thread_id: str) -> tuple[str, ...]:
        return await self._ids(schema.RUNS, {"thread_id": thread_id, "status": {"$in": list(OPEN)}})

    async def schedule_ids(self, thread_id: str) -> tuple[str, ...]:
        return await self._ids(schema.SCHEDULES, {"thread_id": thread_id})

    async def shadow_ids(self, thread_id: str) -> tuple[str, ...]:
        # Logs of shadows live for minutes, so there are few.
        cursor = self._database.collection(schema.SHADOWS).find(
            {"clear_at": {"$exists": True}}, {"served_run_id": 1}, session=self._session
        )
        served = {found["_id"]: found["served_run_id"] for found in await cursor.to_list()}
        if not served:
            return ()
        here = await self._ids(schema.RUNS, {"_id": {"$in": list(served.values())}, "thread_id": thread_id})
        return tuple(id for id, run_id in served.items() if run_id in here)

    async def bury(self, thread: Thread, deletion: Deletion) -> None:
        await self._database.collection(schema.THREADS).delete_one({"_id": thread.id}, session=self._session)
        if thread.length <= AT_ONCE:
            for name in (schema.MESSAGES, schema.RUNS):
                await self._database.collection(name).delete_many({"thread_id": thread.id}, session=self._session)
        # A thread with a derived id may have been deleted before, and that deletion may still be under way.
        await self._database.collection(schema.DELETIONS).replace_one(
            {"_id": thread.id}, d.deletion_document(deletion), upsert=True, session=self._session
        )

    async def accept(self, acceptance: Acceptance, key: str) -> None:
        thread, run = acceptance.thread, acceptance.run
        # The thread first: two acceptances in one thread collide here, before either has written anything else.
        await self._set(
            schema.THREADS,
            thread.id,
            {
                "updated_at": thread.updated_at,
                "title": thread.title,
                "length": thread.length,
                "head": thread.head,
                "last_run": thread.last_run,
                **({"branch_labels": dict(thread.branch_labels)} if thread.branch_labels else {}),
            },
        )
        if acceptance.remembered is not None:
            await self._insert(
                schema.KEYS,
                d.remembered_document(run.user_id, key, acceptance.remembered, run.created_at),
            )
        await self._insert(
            schema.MESSAGES,
            *(_counted(message) for message in acceptance.messages),
        )
        await self._insert(schema.RUNS, d.run_document(run))

    async def end_run(self, state: RunState, ended_at: datetime) -> Run | None:
        result = {
            "status": state.status,
            "usage": d.usage_field(state.usage),
            "cost_microusd": state.cost_microusd,
            "error_code": state.error_code or "",
            "error_message": state.error_message or "",
            **({"cancelled_by": state.cancelled_by} if state.cancelled_by else {}),
        }
        run = await self.run(state.run_id)
        if run is None or run.status not in OPEN:
            return None
        # Not findAndModify, for which the embedded server reads the whole collection (7 ms per thousand runs). Whoever ends the
        # run at once with this makes one of both transactions begin again.
        await self._update_open_run(
            run.id,
            {
                "$set": {
                    **result,
                    "ended_at": ended_at,
                    "final_sequence": state.sequence,
                    "attempts": state.attempt,
                    **d.first_text_field(state),
                },
                "$unset": {"check_at": ""},
                "$currentDate": {"recorded_at": True},
            },
        )
        content = state.content
        await self._database.collection(schema.MESSAGES).update_one(
            {"_id": run.message_id},
            {
                "$set": {
                    **result,
                    "content": content,
                    "parts": d.parts_field(state.message_parts, content),
                    "sequence": state.sequence,
                    "waiting": False,
                },
                # The commands so far, this one, the ledger and the commit.
                "$inc": {"operations": operations.counted() + 2 + bool(state.ledger)},
            },
            session=self._session,
        )
        if state.ledger:
            await self._insert(schema.LEDGER, *d.ledger_documents(run, state, ended_at))
        return run

    async def add_shadow(self, shadow: Shadow) -> None:
        await add_shadow(self._database, shadow, self._transaction.session)

    async def revive_run(self, run: Run, *, check_at: datetime) -> bool:
        changed = await self._database.collection(schema.RUNS).update_one(
            {"_id": run.id, "status": {"$in": list(OPEN)}, "revivals": run.revivals},
            {"$set": {"revivals": run.revivals + 1, "check_at": check_at}},
            session=self._session,
        )
        return changed.modified_count == 1

    def say(self, outgoing: Outgoing) -> None:
        headers = headers_of(outgoing)
        self._transaction.emit(outgoing.subject, outgoing.payload, message_id=outgoing.message_id, headers=headers)

    async def _ids(self, collection: str, query: d.Document) -> tuple[str, ...]:
        found = self._database.collection(collection).find(query, {"_id": 1}, session=self._session)
        return tuple(one["_id"] for one in await found.to_list())

    async def _find(self, collection: str, query: d.Document) -> d.Document | None:
        return await self._database.collection(collection).find_one(query, session=self._session)

    async def _update_open_run(self, run_id: str, update: Mapping[str, Any]) -> None:
        # Of a run that ends meanwhile, the server lets one of both transactions through and the other begins again.
        await self._database.collection(schema.RUNS).update_one(
            {"_id": run_id, "status": {"$in": list(OPEN)}}, update, session=self._session
        )

    async def _insert(self, collection: str, *found: d.Document) -> None:
        await self._database.collection(collection).insert_many(found, session=self._session)

    async def _set(self, collection: str, id: str, values: Mapping[str, Any]) -> None:
        await self._database.collection(collection).update_one({"_id": id}, {"$set": values}, session=self._session)
