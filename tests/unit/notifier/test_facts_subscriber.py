"""What the subscriber of facts answers the bus, with a feed by hand."""

from bus.api import Delivery, Done, Poison, RetryLater
from bus.errors import BusError, UnavailableError
from contracts.facts import FeedEntry, RunEnded, ThreadDeleted, encode_fact
from contracts.ids import FACT, MESSAGE, RUN, THREAD, USER, InvalidIdError, new_id
from notifier.entrypoints.facts import facts_subscriber

AT = "2026-11-21T03:17:47.123Z"


class Shelf:
    """notifier.ports.Feeds in a list; `failure` is raised instead of storing."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, FeedEntry]] = []
        self.failure: Exception | None = None

    async def add(self, user_id: str, entry: FeedEntry) -> bool:
        if self.failure is not None:
            raise self.failure
        if any(stored.id == entry.id for _, stored in self.entries):
            return False
        self.entries.append((user_id, entry))
        return True


def delivery(data: bytes, delivered: int = 1) -> Delivery:
    return Delivery(subject="thread.x", data=data, stream_sequence=7, delivered=delivered, reply="r")


def deleted() -> ThreadDeleted:
    return ThreadDeleted(id=new_id(FACT), thread_id=new_id(THREAD), user_id=new_id(USER), at=AT)


async def test_a_fact_reaches_its_owners_feed_once() -> None:
    shelf, fact = Shelf(), deleted()
    on_fact = facts_subscriber(shelf)
    assert await on_fact(delivery(encode_fact(fact))) == Done()
    assert await on_fact(delivery(encode_fact(fact), delivered=2)) == Done()
    assert [(user, entry.id) for user, entry in shelf.entries] == [(fact.user_id, fact.id)]


async def test_a_broker_that_is_away_is_waited_for() -> None:
    shelf = Shelf()
    shelf.failure = UnavailableError("no answer within 30 s")
    outcome = await facts_subscriber(shelf)(delivery(encode_fact(deleted())))
    assert isinstance(outcome, RetryLater)


async def test_what_cannot_be_read_is_poison() -> None:
    shelf = Shelf()
    on_fact = facts_subscriber(shelf)
    unknown_end = RunEnded(
        id=new_id(FACT),
        thread_id=new_id(THREAD),
        user_id=new_id(USER),
        at=AT,
        run_id=new_id(RUN),
        message_id=new_id(MESSAGE),
        status="paused",
    )
    for data in (b"", b"\xff\xfe", b"[]", b'{"type":"thread.exploded"}', encode_fact(unknown_end)):
        assert isinstance(await on_fact(delivery(data)), Poison), data
    shelf.failure = InvalidIdError("not a usr_ id: '*'")
    assert isinstance(await on_fact(delivery(encode_fact(deleted()))), Poison)
    assert shelf.entries == []


async def test_an_error_nobody_foresaw_is_left_to_the_bus() -> None:
    shelf = Shelf()
    shelf.failure = BusError("odd")
    try:
        await facts_subscriber(shelf)(delivery(encode_fact(deleted())))
    except BusError:
        return
    raise AssertionError("the error was swallowed")
