"""The list of a user's threads, on MongoDB: those that the user owns and those that the user was let into, merged.

Each is read by an index that has the list's own order, from where the page begins. One query for both (`$or`) would be served by no
index of the embedded server, and by a real one only until a page begins in mid-list."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from store.database import Database
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.domain.entities import Thread
from conversation.domain.pages import ThreadKey

_WHOSE: Final = ("user_id", "members.user_id")
_ORDER: Final = [("pinned", -1), ("updated_at", -1), ("_id", -1)]


class MongoThreadList:
    """The lists of all users over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, user_id: str, *, archived: bool | None, after: ThreadKey | None, limit: int
    ) -> Sequence[Thread]:
        """See ports.Records. A thread that nobody changes meanwhile is on one page, and on no other."""
        kinds = (False, True) if archived is None else (archived,)
        sources: list[d.Document] = [{whose: user_id, "archived": kind} for whose in _WHOSE for kind in kinds]
        found: dict[str, d.Document] = {}
        for stretch in _stretches(after):
            pages = await asyncio.gather(*(self._read(source | stretch, limit) for source in sources))
            for document in _in_order(document for page in pages for document in page):
                # One that was changed or handed over in between may come twice; the earlier place counts.
                found.setdefault(document["_id"], document)
            if len(found) >= limit:
                break
        return [d.thread_of(document) for document in list(found.values())[:limit]]

    async def _read(self, query: d.Document, limit: int) -> list[d.Document]:
        with translated():
            cursor = self._database.collection(schema.THREADS).find(query).sort(_ORDER)
            # One batch, and nothing that stays open on the server.
            return await cursor.limit(limit).batch_size(limit + 1).to_list()


def _stretches(after: ThreadKey | None) -> list[d.Document]:
    """What follows a key, as ranges of the index, one behind the other. Each has an operator, also where an equality or nothing would
    say the same: without one the embedded server does not use a partial index."""
    if after is None:
        return [{"pinned": {"$in": [True, False]}}]
    place: d.Document = {"pinned": after.pinned, "updated_at": after.updated_at}
    behind = [place | {"_id": {"$lt": after.id}}, place | {"updated_at": {"$lt": after.updated_at}}]
    return [*behind, {"pinned": {"$in": [False]}}] if after.pinned else behind


def _in_order(documents: Iterable[d.Document]) -> list[d.Document]:
    return sorted(documents, key=lambda one: (one["pinned"], one["updated_at"], one["_id"]), reverse=True)
