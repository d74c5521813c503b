"""The list of a user's threads, on MongoDB: those that the user owns and those that the user was let into, merged.

Each is read by an index that has the list's own order, from where the page begins. One query for both (`$or`) would be served by no
index of the embedded server, and by a real one only until a page begins in mid-list. The embedded server reads all that a query
matches, whatever its limit: so a query is also given an end, by how far the list was read before."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from store.database import Database
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.domain.entities import Thread
from conversation.domain.pages import ThreadKey

REMEMBERED: Final = 1_000
"""Lists of which it is known how far a page reaches."""
_WIDER: Final = (1, 4, 16)
_WHOSE: Final = ("user_id", "members.user_id")
_ORDER: Final = [("pinned", -1), ("updated_at", -1), ("_id", -1)]
_TICK: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far pages of a list reached: the first one to `floor`, the one read last over `span`. It need not be true any more: it
    says where to look first, and never what there is."""

    floor: datetime
    span: timedelta


class MongoThreadList:
    """The lists of all users over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reaches: OrderedDict[tuple[str, bool | None], _Reach] = OrderedDict()

    async def page(
        self, user_id: str, *, archived: bool | None, after: ThreadKey | None, limit: int
    ) -> Sequence[Thread]:
        """See ports.Records. A thread that nobody changes meanwhile is on one page, and on no other."""
        kinds = (False, True) if archived is None else (archived,)
        sources: list[d.Document] = [{whose: user_id, "archived": kind} for whose in _WHOSE for kind in kinds]
        found: dict[str, d.Document] = {}
        for stretch in _stretches(after, self._reaches.get((user_id, archived))):
            pages = await asyncio.gather(*(self._read(source | stretch, limit) for source in sources))
            for document in _in_order(document for page in pages for document in page):
                # One that was changed or handed over in between may come twice; the earlier place counts.
                found.setdefault(document["_id"], document)
            if len(found) >= limit:
                break
        documents = list(found.values())[:limit]
        self._note((user_id, archived), documents, full=len(documents) == limit, first=after is None)
        return [d.thread_of(document) for document in documents]

    async def _read(self, query: d.Document, limit: int) -> list[d.Document]:
        with translated():
            cursor = self._database.collection(schema.THREADS).find(query).sort(_ORDER)
            # One batch, and nothing that stays open on the server.
            return await cursor.limit(limit).batch_size(limit + 1).to_list()

    def _note(self, of: tuple[str, bool | None], page: Sequence[d.Document], *, full: bool, first: bool) -> None:
        times = [document["updated_at"] for document in page if not document["pinned"]]
        known = self._reaches.pop(of, None)
        if first and not full:
            return
        if times and full:
            floor = times[-1] if first or known is None else known.floor
            known = _Reach(floor, times[0] - times[-1] + _TICK)
        if known is not None:
            self._reaches[of] = known
            while len(self._reaches) > REMEMBERED:
                self._reaches.popitem(last=False)


def _stretches(after: ThreadKey | None, reach: _Reach | None) -> list[d.Document]:
    """What follows a key, as ranges of the index that follow each other. Each has one field with an operator, also where an equality
    would say the same: without one the embedded server uses no more of a partial index than its first field. And the operators are
    `$in`, `$lt` and `$gt`: by `$gte` of a field that others follow in the index, it finds too little."""
    if after is None:
        if reach is None:
            return [{"pinned": {"$in": [True, False]}}]
        return [{"pinned": {"$in": [True]}}, *_unpinned(reach.floor, reach.span)]
    place: d.Document = {"pinned": after.pinned, "updated_at": after.updated_at}
    same = place | {"_id": {"$lt": after.id}}
    if after.pinned:
        rest = [{"pinned": {"$in": [False]}}] if reach is None else _unpinned(reach.floor, reach.span)
        return [same, place | {"updated_at": {"$lt": after.updated_at}}, *rest]
    if reach is None:
        return [same, place | {"updated_at": {"$lt": after.updated_at}}]
    return [same, *_unpinned(after.updated_at - 2 * reach.span, reach.span, after.updated_at)]


def _unpinned(floor: datetime, span: timedelta, before: datetime | None = None) -> list[d.Document]:
    """What is not pinned, down to a time, then further and further, then all the rest."""
    stretches: list[d.Document] = []
    for wider in _WIDER:
        low = floor - (wider - 1) * span - _TICK
        end = {} if before is None else {"$lt": before}
        stretches.append({"pinned": False, "updated_at": {**end, "$gt": low}})
        before = low + _TICK
    return [*stretches, {"pinned": False, "updated_at": {"$lt": before}}]


def _in_order(documents: Iterable[d.Document]) -> list[d.Document]:
    return sorted(documents, key=lambda one: (one["pinned"], one["updated_at"], one["_id"]), reverse=True)
