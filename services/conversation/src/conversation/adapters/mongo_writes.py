"""One transaction on MongoDB. As few commands as possible: each is a round trip, and a transaction holds others up."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.run_state import RunState
from runtime import operations
from store.database import Database, Transaction

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.adapters.mongo_shadows import add_shadow
from conversation.adapters.outgoing import PURGE_HEADER
from conversation.domain.acceptance import Acceptance, Remembered
from conversation.domain.entities import OPEN, Message, Outgoing, Run, Thread, User
from conversation.domain.shadows import Shadow


def _counted(message: Message) -> d.Document:
    """A new message; an answer with what its acceptance takes: the commands so far, these inserts, the outbox, the commit."""
    document = d.message_document(message)
    return document | {"operations": operations.counted() + 4} if message.status == "pending" else document


class MongoWrites:
    """ports.Writes over a transaction of the store."""

    def __init__(self, database: Database, transaction: Transaction) -> None:
        self._database = database
        self._transaction = transaction
        self._session = transaction.session

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        found = await self._find(schema.THREADS, {"_id": thread_id, "user_id": user_id})
        return None if found is None else d.thread_of(found)

    async def user(self, user_id: str) -> User | None:
        found = await self._find(schema.USERS, {"_id": user_id})
        return None if found is None else d.user_of(found)

    async def message(self, thread_id: str, message_id: str) -> Message | None:
        found = await self._find(schema.MESSAGES, {"_id": message_id, "thread_id": thread_id})
        return None if found is None else d.message_of(found)

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

    async def delete_thread(self, thread_id: str) -> None:
        await self._database.collection(schema.THREADS).delete_one({"_id": thread_id}, session=self._session)
        for name in (schema.MESSAGES, schema.RUNS):
            await self._database.collection(name).delete_many({"thread_id": thread_id}, session=self._session)

    async def accept(self, acceptance: Acceptance, key: str) -> None:
        thread, run = acceptance.thread, acceptance.run
        # The thread first: two acceptances in one thread collide here, before either has written anything else.
        await self._set(
            schema.THREADS,
            thread.id,
            {"updated_at": thread.updated_at, "title": thread.title, "length": thread.length, "head": thread.head},
        )
        if acceptance.remembered is not None:
            await self._insert(
                schema.KEYS,
                d.remembered_document(thread.user_id, key, acceptance.remembered, run.created_at),
            )
        await self._insert(
            schema.MESSAGES,
            *(_counted(message) for message in (*acceptance.history, acceptance.question, acceptance.answer)),
        )
        await self._insert(schema.RUNS, d.run_document(run))

    async def end_run(self, state: RunState, ended_at: datetime) -> Run | None:
        result = {
            "status": state.status,
            "usage": d.usage_field(state.usage),
            "cost_microusd": state.cost_microusd,
            "error_code": state.error_code or "",
            "error_message": state.error_message or "",
        }
        found = await self._database.collection(schema.RUNS).find_one_and_update(
            {"_id": state.run_id, "status": {"$in": list(OPEN)}},
            {
                "$set": {
                    **result,
                    "ended_at": ended_at,
                    "final_sequence": state.sequence,
                    "attempts": state.attempt,
                    **d.first_text_field(state),
                },
                "$unset": {"check_at": ""},
            },
            session=self._session,
        )
        if found is None:
            return None
        run = d.run_of(found)
        content = state.content
        await self._database.collection(schema.MESSAGES).update_one(
            {"_id": run.message_id},
            {
                "$set": {
                    **result,
                    "content": content,
                    "parts": d.parts_field(state.message_parts, content),
                    "sequence": state.sequence,
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
        await add_shadow(self._database, shadow, self._session)

    async def revive_run(self, run: Run, *, check_at: datetime) -> bool:
        changed = await self._database.collection(schema.RUNS).update_one(
            {"_id": run.id, "status": {"$in": list(OPEN)}, "revivals": run.revivals},
            {"$set": {"revivals": run.revivals + 1, "check_at": check_at}},
            session=self._session,
        )
        return changed.modified_count == 1

    def say(self, outgoing: Outgoing) -> None:
        headers = {PURGE_HEADER: outgoing.purge} if outgoing.purge else None
        self._transaction.emit(outgoing.subject, outgoing.payload, message_id=outgoing.message_id, headers=headers)

    async def _find(self, collection: str, query: d.Document) -> d.Document | None:
        return await self._database.collection(collection).find_one(query, session=self._session)

    async def _insert(self, collection: str, *found: d.Document) -> None:
        await self._database.collection(collection).insert_many(found, session=self._session)

    async def _set(self, collection: str, id: str, values: Mapping[str, Any]) -> None:
        await self._database.collection(collection).update_one({"_id": id}, {"$set": values}, session=self._session)
