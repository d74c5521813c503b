"""The relay against an outbox in memory: nothing is lost, order is kept, a broker that is away is outlived."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from store.errors import StoreUnavailableError
from store.outbox import OutboxRow, new_row
from store.relay import PAGE_ROWS, Relay


class MemoryOutbox:
    """Rows by id."""

    def __init__(self, rows: Sequence[OutboxRow] = ()) -> None:
        self.rows = {row.id: row for row in rows}
        self.deletes: list[int] = []
        self.available = True

    async def oldest(self, *, before: datetime, after_id: str = "", limit: int) -> list[OutboxRow]:
        self._check()
        found = [row for row in self.rows.values() if row.id > after_id and row.created_at < before]
        return sorted(found, key=lambda row: row.id)[:limit]

    async def delete(self, ids: Sequence[str]) -> None:
        self._check()
        self.deletes.append(len(ids))
        for id in ids:
            self.rows.pop(id, None)

    def _check(self) -> None:
        if not self.available:
            raise StoreUnavailableError("away")


class MemoryTopic:
    """What was published, unless it refuses."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.refused: set[str] = set()
        self.available = True

    async def __call__(self, row: OutboxRow) -> None:
        await asyncio.sleep(0)
        if not self.available or row.subject in self.refused:
            raise ConnectionError("the broker is away")
        self.published.append(row.subject)


def rows(count: int) -> list[OutboxRow]:
    return [new_row(f"s.{n}", b"", message_id=f"m{n}") for n in range(count)]


def relay(outbox: MemoryOutbox, topic: MemoryTopic) -> Relay:
    return Relay(outbox, topic, sweep_seconds=0.001, grace_seconds=-60)


async def test_what_was_handed_over_is_published_at_once_and_deleted_together() -> None:
    found = rows(120)
    outbox, topic = MemoryOutbox(found), MemoryTopic()
    handing = relay(outbox, topic)
    handing.hand(found)
    await handing.drain(1)
    assert topic.published == [row.subject for row in found]
    assert outbox.rows == {}
    assert outbox.deletes == [50, 50, 20]


async def test_a_sweep_publishes_everything_oldest_first_whatever_the_number() -> None:
    found = rows(PAGE_ROWS * 2 + 7)
    outbox, topic = MemoryOutbox(found[::-1]), MemoryTopic()
    assert await relay(outbox, topic).sweep() == len(found)
    assert topic.published == [row.subject for row in found]
    assert outbox.rows == {}


async def test_a_row_that_cannot_be_published_holds_up_no_other_and_shows_its_age() -> None:
    found = rows(PAGE_ROWS + 5)
    outbox, topic = MemoryOutbox(found), MemoryTopic()
    topic.refused = {"s.0", "s.3"}
    sweeping = relay(outbox, topic)
    await sweeping.sweep()
    assert {row.subject for row in outbox.rows.values()} == {"s.0", "s.3"}
    assert sweeping.oldest_age >= 0
    assert sweeping.waiting == 2
    topic.refused = set()
    assert await sweeping.sweep() == 2
    assert (sweeping.oldest_age, sweeping.waiting) == (0, 0)


async def test_while_the_broker_is_away_only_one_page_is_tried_and_all_of_it_comes_later() -> None:
    found = rows(PAGE_ROWS * 3)
    outbox, topic = MemoryOutbox(found), MemoryTopic()
    topic.available = False
    sweeping = relay(outbox, topic)
    assert await sweeping.sweep() == 0
    assert len(outbox.rows) == len(found)
    topic.available = True
    assert await sweeping.sweep() == len(found)
    assert topic.published == [row.subject for row in found]


async def test_a_sweep_leaves_alone_what_is_being_published_here() -> None:
    found = rows(3)
    outbox, topic = MemoryOutbox(found), MemoryTopic()
    both = relay(outbox, topic)
    both.hand(found)
    assert await both.sweep() == 0
    await both.drain(1)
    assert topic.published == ["s.0", "s.1", "s.2"]


async def test_a_published_row_that_could_not_be_deleted_is_not_published_again_here() -> None:
    found = rows(2)
    outbox, topic = MemoryOutbox(found), MemoryTopic()
    both = relay(outbox, topic)
    both.hand(found)
    await asyncio.sleep(0.01)
    outbox.available = False
    with pytest.raises(StoreUnavailableError):
        await both.sweep()
    outbox.available = True
    assert await both.sweep() == 0
    assert outbox.rows == {}
    assert topic.published == ["s.0", "s.1"]


async def test_the_loop_survives_a_database_that_is_away_and_ends_when_drained() -> None:
    outbox, topic = MemoryOutbox(rows(1)), MemoryTopic()
    outbox.available = False
    sweeping = relay(outbox, topic)
    running = asyncio.create_task(sweeping.run())
    await asyncio.sleep(0.02)
    outbox.available = True
    while outbox.rows:
        await asyncio.sleep(0.001)
    await sweeping.drain(1)
    await running


def test_ids_of_rows_rise_even_within_a_millisecond() -> None:
    ids = [row.id for row in rows(1000)]
    assert ids == sorted(set(ids))
    assert datetime.now(UTC) - rows(1)[0].created_at < timedelta(minutes=1)
