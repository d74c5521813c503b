"""Transactions that a killed process left open, ended at once by its successor.

A server keeps the transaction of a client that died for 60 seconds, with every document that it had written locked: nobody
could send to that thread meanwhile. So each process writes down the sessions that it runs transactions on (one small write
for each new session, and the driver uses few, over and over), and one that starts ends those of its predecessors of the same name.
"""

from datetime import UTC, datetime
from typing import Any, Final

import structlog
from bson.binary import Binary
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from ulid import ULID

from store.faults import translated

logger = structlog.get_logger()
COLLECTION: Final = "processes"
Document = dict[str, Any]


class Sessions:
    """The sessions of this process. `instance` is its name among its kind: no two processes that live may share one."""

    def __init__(self, database: AsyncDatabase[Document], instance: str) -> None:
        self._database = database
        self._collection = database[COLLECTION]
        self._instance = instance
        self._process = f"{instance}-{ULID()}"
        self._known: set[bytes] = set()

    async def note(self, session: AsyncClientSession) -> None:
        """Write the session down if it is a new one, before its first transaction. Its errors are pymongo's."""
        id: Binary = session.session_id["id"]
        if bytes(id) in self._known:
            return
        now = datetime.now(UTC)
        await self._collection.update_one(
            {"_id": self._process},
            {"$push": {"sessions": id}, "$setOnInsert": {"instance": self._instance, "started_at": now}},
            upsert=True,
        )
        self._known.add(bytes(id))

    async def end_predecessors(self) -> int:
        """End the transactions of processes of the same name that are gone; returns how many sessions they had. Idempotent.
        Raises StoreUnavailableError."""
        count = 0
        with translated():
            query = {"instance": self._instance, "_id": {"$ne": self._process}}
            async for gone in self._collection.find(query):
                ids = [{"id": id} for id in gone["sessions"]]
                try:
                    await self._database.client.admin.command({"killSessions": ids})
                except OperationFailure as error:
                    # Not allowed here: the server's own limit of 60 seconds remains.
                    logger.warning("store.predecessor_not_ended", error=error.code)
                await self._collection.delete_one({"_id": gone["_id"]})
                count += len(ids)
        if count:
            logger.info("store.predecessor_ended", sessions=count)
        return count

    async def forget(self) -> None:
        """Nothing is open any more: there is nothing for a successor to end. Its errors are pymongo's."""
        if self._known:
            await self._collection.delete_one({"_id": self._process})
