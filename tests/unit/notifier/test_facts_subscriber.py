"""What the subscriber of facts answers the bus, with a feed by hand."""

from bus.api import Delivery, Done, Poison, RetryLater
from bus.errors import BusError, UnavailableError
from contracts.facts import FeedEntry, MessageAccepted, RunEnded, ThreadDeleted, encode_fact
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
        if any((user, stored.id) == (user_id, entry.id) for user, stored in self.entries):
            return False
        self.entries.append((user_id, entry))
        return True

    async def forget(self, user_id: str, thread_id: str) -> None:
        self.entries = [
            (user, entry)
            for user, entry in self.entries
            if (user, entry.thread_id) != (user_id, thread_id) or entry.type == "thread.deleted"
        ]


class Known:
    """notifier.ports.Threads: what the test says."""

    def __init__(self, *watching: str, deleted: bool = False) -> None:
        self.watching, self.deleted = frozenset(watching), deleted
        self.asked = 0

    async def watched_by(self, thread_id: str) -> frozenset[str]:
        self.asked += 1
        return self.watching

    async def is_deleted(self, thread_id: str) -> bool:
        return self.deleted


def delivery(data: bytes, delivered: int = 1) -> Delivery:
    return Delivery(subject="thread.x", data=data, stream_sequence=7, delivered=delivered, reply="r")


def deleted() -> ThreadDeleted:
    return ThreadDeleted(id=new_id(FACT), thread_id=new_id(THREAD), user_id=new_id(USER), at=AT)


async def test_a_fact_reaches_its_owners_feed_once() -> None:
    shelf, fact = Shelf(), deleted()
    on_fact = facts_subscriber(shelf, Known())
    assert await on_fact(delivery(encode_fact(fact))) == Done()
    assert await on_fact(delivery(encode_fact(fact), delivered=2)) == Done()
    assert [(user, entry.id) for user, entry in shelf.entries] == [(fact.user_id, fact.id)]


def finished(*audience: str, preview: str = "") -> RunEnded:
    return RunEnded(
        id=new_id(FACT),
        thread_id=new_id(THREAD),
        user_id=audience[0],
        audience=list(audience),
        at=AT,
        run_id=new_id(RUN),
        message_id=new_id(MESSAGE),
        status="complete",
        preview=preview,
    )


async def test_everybody_in_the_audience_is_told_and_who_watches_has_nothing_unread() -> None:
    owner, editor, viewer = (new_id(USER) for _ in range(3))
    shelf, fact = Shelf(), finished(owner, editor, viewer)
    assert await facts_subscriber(shelf, Known(editor))(delivery(encode_fact(fact))) == Done()
    assert {user: entry.unread for user, entry in shelf.entries} == {owner: True, editor: False, viewer: True}


async def test_nobody_asks_who_watches_where_nothing_would_be_unread() -> None:
    owner, known = new_id(USER), Known()
    own = MessageAccepted(
        id=new_id(FACT),
        thread_id=new_id(THREAD),
        user_id=owner,
        at=AT,
        message_id=new_id(MESSAGE),
        assistant_message_id=new_id(MESSAGE),
        run_id=new_id(RUN),
        by=owner,
    )
    shelf = Shelf()
    assert await facts_subscriber(shelf, known)(delivery(encode_fact(own))) == Done()
    assert ([entry.unread for _, entry in shelf.entries], known.asked) == ([False], 0)
    assert await facts_subscriber(shelf, known)(delivery(encode_fact(finished(owner)))) == Done()
    assert ([entry.unread for _, entry in shelf.entries], known.asked) == ([False, True], 1)


async def test_a_deleted_thread_leaves_only_that_it_is_deleted() -> None:
    owner, other = new_id(USER), new_id(USER)
    shelf, early = Shelf(), finished(owner, other, preview="a secret")
    elsewhere = finished(owner, preview="stays")
    gone = ThreadDeleted(id=new_id(FACT), thread_id=early.thread_id, user_id=owner, at=AT, audience=[owner, other])
    for fact in (early, elsewhere, gone):
        assert await facts_subscriber(shelf, Known())(delivery(encode_fact(fact))) == Done()
    # A fact of the thread that comes after its deletion, out of order, erases itself.
    late = finished(owner, other, preview="another secret")
    late.thread_id = early.thread_id
    assert await facts_subscriber(shelf, Known(deleted=True))(delivery(encode_fact(late))) == Done()
    assert [(user, entry.id) for user, entry in shelf.entries] == [
        (owner, elsewhere.id),
        (owner, gone.id),
        (other, gone.id),
    ]


async def test_a_broker_that_is_away_is_waited_for() -> None:
    shelf = Shelf()
    shelf.failure = UnavailableError("no answer within 30 s")
    outcome = await facts_subscriber(shelf, Known())(delivery(encode_fact(deleted())))
    assert isinstance(outcome, RetryLater)


async def test_what_cannot_be_read_is_poison() -> None:
    shelf = Shelf()
    on_fact = facts_subscriber(shelf, Known())
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
        await facts_subscriber(shelf, Known())(delivery(encode_fact(deleted())))
    except BusError:
        return
    raise AssertionError("the error was swallowed")
