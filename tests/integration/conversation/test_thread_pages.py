"""Pages of the list of threads: exact for owned and shared ones under ties and changes, and read by indexes."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contracts.ids import MESSAGE, THREAD, new_id
from conversation.adapters import documents as d
from conversation.adapters.schema import prepare
from conversation.domain.entities import Thread
from conversation.domain.members import Member
from conversation.handlers.list_threads import list_threads
from pymongo import IndexModel

from tests.integration.conversation.replica import ALICE, BOB, Service

START = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT = 20


def document(owner: str, members: tuple[str, ...] = (), **more: Any) -> d.Document:
    """A thread, shared with members where there are any."""
    thread = Thread(
        id=new_id(THREAD),
        user_id=owner,
        title="",
        model="",
        agent="",
        archived=more.get("archived", False),
        pinned=more.get("pinned", False),
        starred=False,
        tags=(),
        created_at=START,
        updated_at=more.get("updated_at", START),
        length=0,
        head="",
        members=tuple(Member(user_id=one, role="editor", since=START, by=owner) for one in members),
    )
    return d.thread_document(thread) | (d.members_fields(thread) if members else {})


def listed(rows: list[d.Document], user: str, archived: bool | None) -> list[str]:
    """The list as it should be."""
    mine = [
        row
        for row in rows
        if user in (row["user_id"], *(member["user_id"] for member in row.get("members", ())))
        and archived in (None, row["archived"])
    ]
    return [
        row["_id"] for row in sorted(mine, key=lambda row: (row["pinned"], row["updated_at"], row["_id"]), reverse=True)
    ]


async def pages(service: Service, user: str, archived: bool | None, chance: random.Random) -> AsyncIterator[list[str]]:
    """The ids of page after page, each of another length."""
    cursor = ""
    while True:
        limit = chance.choice((1, 2, 3, 7, 100))
        page = await list_threads(service.parts, user, archived=archived, cursor=cursor, limit=limit)
        yield [thread.id for thread in page.items]
        cursor = page.next_cursor
        if not cursor:
            return
        assert len(page.items) == limit


def some_threads(chance: random.Random, count: int) -> list[d.Document]:
    """Alice's, Bob's and what they share, at few different times."""
    rows = []
    for _ in range(count):
        owner, other = chance.sample((ALICE, BOB), 2)
        rows.append(
            document(
                owner,
                (other,) if chance.random() < 0.4 else (),
                archived=chance.random() < 0.3,
                pinned=chance.random() < 0.2,
                updated_at=START + timedelta(milliseconds=chance.choice((0, 1, 2, 50, 51, 10_000, 86_400_000))),
            )
        )
    return rows


@pytest.mark.parametrize("seed", range(3))
async def test_pages_are_the_list_cut_anywhere_and_a_change_moves_nothing_but_what_it_changes(
    service: Service, seed: int
) -> None:
    chance = random.Random(seed)
    rows = some_threads(chance, 40)
    threads = service.database.collection("threads")
    await threads.insert_many(rows)
    for user in (ALICE, BOB):
        for archived in (None, False, True):
            found = [page async for page in pages(service, user, archived, chance)]
            assert [id for page in found for id in page] == listed(rows, user, archived)
    for _ in range(4):
        user, archived = chance.choice((ALICE, BOB)), chance.choice((None, False))
        before = listed(await threads.find().to_list(), user, archived)
        changed: set[str] = set()
        seen: list[str] = []
        async for page in pages(service, user, archived, chance):
            assert len(set(page)) == len(page)
            seen += page
            touched = chance.choice(rows)["_id"]
            changed.add(touched)
            later = START + timedelta(days=2, milliseconds=chance.randrange(3))
            values: list[d.Document] = [{"updated_at": later}, {"pinned": True}, {"pinned": False}, {"archived": True}]
            if chance.random() < 0.2:
                await threads.delete_one({"_id": touched})
            else:
                await threads.update_one({"_id": touched}, {"$set": chance.choice(values)})
        assert [id for id in seen if id not in changed] == [id for id in before if id not in changed]


async def explained(service: Service, find: dict[str, Any]) -> tuple[set[str], int]:
    """The indexes that a query uses, and how many documents are looked at for it."""
    cursor = service.database.collection(find["find"]).find(find["filter"])
    if find["sort"]:
        cursor = cursor.sort(list(find["sort"].items()))
    told = await cursor.limit(find["limit"] or 0).explain()
    return _indexes(told["queryPlanner"]["winningPlan"]), told["executionStats"]["totalDocsExamined"]


def _indexes(plan: Any) -> set[str]:
    if isinstance(plan, list):
        return set().union(*map(_indexes, plan))
    if not isinstance(plan, dict):
        return set()
    own = {plan["indexName"]} if "indexName" in plan else {"COLLSCAN"} if plan.get("stage") == "COLLSCAN" else set()
    return own.union(*map(_indexes, plan.values()))


async def test_a_page_is_read_by_indexes_and_looks_at_nobody_elses_threads(service: Service) -> None:
    rows = [document(ALICE, updated_at=START + timedelta(minutes=at), pinned=at % 200 == 0) for at in range(600)]
    rows += [document(BOB, (ALICE,), updated_at=START + timedelta(minutes=at)) for at in range(0, 600, 5)]
    rows += [document(BOB, updated_at=START + timedelta(minutes=at)) for at in range(600)]
    await service.database.collection("threads").insert_many(rows)
    expected = listed(rows, ALICE, False)
    first = await list_threads(service.parts, ALICE, archived=False, cursor="", limit=LIMIT)
    for cursor, begin in (("", 0), (first.next_cursor, LIMIT)):
        service.commands.finds.clear()
        page = await list_threads(service.parts, ALICE, archived=False, cursor=cursor, limit=LIMIT)
        assert [thread.id for thread in page.items] == expected[begin : begin + LIMIT]
        finds = service.commands.finds.copy()
        plans = [await explained(service, find) for find in finds]
        assert {name for names, _ in plans for name in names} == {"owned", "joined"}
        # A real MongoDB stops at the limit; the embedded one reads all that a query matches.
        assert max(documents for _, documents in plans) <= 600
        assert len(plans) <= 6


async def test_what_services_appended_is_looked_for_in_its_thread_and_behind_the_message_only(service: Service) -> None:
    thread, other = await service.thread(), await service.thread()
    first = await service.accept(thread)
    for where, count in ((thread, 5), (other, 200)):
        rows = await service.database.collection("messages").find({"role": "user"}).to_list(1)
        many = [rows[0] | {"_id": new_id(MESSAGE), "thread_id": where, "position": 10 + at} for at in range(count)]
        await service.database.collection("messages").insert_many(many)
    last = await service.parts.records.message(first.assistant_message_id)
    service.commands.finds.clear()
    await service.parts.records.transaction(lambda writes: writes.appended_behind(thread, last))
    (find,) = [find for find in service.commands.finds if find["find"] == "messages"]
    assert await explained(service, find) == ({"order"}, 5)


async def test_indexes_of_an_earlier_version_make_room(service: Service) -> None:
    threads = service.database.collection("threads")
    old = IndexModel([("user_id", 1), ("pinned", -1), ("updated_at", -1), ("_id", -1)], name="list")
    await threads.create_indexes([old])
    await prepare(service.database)
    assert set(await threads.index_information()) == {"_id_", "owned", "joined"}
