"""Who is in which thread, and who may come in, on MongoDB. Members stand in the thread's own document, so that to know what
somebody may do costs no read of its own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from store.database import Database, Transaction
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.adapters.mongo_writes import MongoWrites
from conversation.domain.entities import OPEN, Thread
from conversation.domain.invitations import Invitation, Trace
from conversation.domain.members import audience
from conversation.sharing_ports import ShareWrites

T = TypeVar("T")


class MongoShareWrites(MongoWrites):
    """sharing_ports.ShareWrites over a transaction of the store."""

    async def set_members(self, thread: Thread) -> None:
        threads, runs = self._database.collection(schema.THREADS), self._database.collection(schema.RUNS)
        await threads.update_one({"_id": thread.id}, {"$set": d.members_fields(thread)}, session=self._session)
        # A run that ends tells whom its own document names: it costs no read then.
        await runs.update_many(
            {"thread_id": thread.id, "status": {"$in": list(OPEN)}},
            {"$set": {"audience": list(audience(thread) or (thread.user_id,))}},
            session=self._session,
        )

    async def add_invitation(self, invitation: Invitation) -> None:
        await self._insert(schema.INVITATIONS, d.invitation_document(invitation))
        await self._insert(schema.INVITATION_TRACES, d.invitation_trace_document(invitation))

    async def invitation(self, token_hash: str) -> Invitation | None:
        found = await self._find(schema.INVITATIONS, {"token_hash": token_hash})
        return None if found is None else d.invitation_of(found)

    async def use_invitation(self, invitation: Invitation) -> None:
        await self._set(schema.INVITATIONS, invitation.id, {"uses": invitation.uses + 1})

    async def invitation_trace(self, token_hash: str) -> Trace | None:
        found = await self._find(schema.INVITATION_TRACES, {"token_hash": token_hash})
        return None if found is None else Trace(expires_at=found["expires_at"], revoked=found["revoked"])

    async def revoke_invitation(self, thread_id: str, invitation_id: str) -> bool:
        gone = await self._database.collection(schema.INVITATIONS).delete_one(
            {"_id": invitation_id, "thread_id": thread_id}, session=self._session
        )
        if gone.deleted_count:
            # An invitation of before there were traces has none.
            await self._database.collection(schema.INVITATION_TRACES).update_one(
                {"_id": invitation_id}, {"$set": {"revoked": True}}, session=self._session
            )
        return gone.deleted_count == 1


class MongoShares:
    """sharing_ports.Shares over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def transaction(self, body: Callable[[ShareWrites], Awaitable[T]]) -> T:
        async def once(transaction: Transaction) -> T:
            return await body(MongoShareWrites(self._database, transaction))

        return await self._database.transaction(once)

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        with translated():
            found = await self._database.collection(schema.THREADS).find_one({"_id": thread_id})
        return None if found is None else d.thread_for(found, user_id)

    async def invitations(self, thread_id: str) -> Sequence[Invitation]:
        with translated():
            cursor = self._database.collection(schema.INVITATIONS).find({"thread_id": thread_id}).sort("_id", -1)
            return [d.invitation_of(found) for found in await cursor.to_list()]
