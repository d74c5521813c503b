"""Seats at threads, and dismissals that arrive before, while and after somebody sits down."""

from contracts.presence import Presence
from gateway.domain.attendance import Attendance, Seat
from gateway.domain.people import Present, presence_frame, who_is_there


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(attendance: Attendance, thread: str, user: str, *, since: float) -> tuple[Seat, list[str]]:
    ended: list[str] = []
    return attendance.take(thread, user, ended.append, since=since), ended


def test_every_seat_of_the_dismissed_member_ends_once_and_nobody_elses() -> None:
    clock = Clock()
    attendance = Attendance(clock)
    (_, first), (_, second) = (taken(attendance, "t", "bob", since=clock.now) for _ in range(2))
    _, others = taken(attendance, "t", "ada", since=clock.now)
    _, elsewhere = taken(attendance, "u", "bob", since=clock.now)
    clock.now += 1
    assert attendance.dismiss("t", "bob", "no_member") == 2
    assert attendance.dismiss("t", "bob", "no_member") == 2
    assert (first, second, others, elsewhere) == (["no_member"], ["no_member"], [], [])
    assert attendance.dismiss("t", "", "thread_deleted") == 3
    assert (first, others, elsewhere) == (["no_member"], ["thread_deleted"], [])


def test_a_dismissal_between_the_question_and_the_seat_counts_and_an_older_one_does_not() -> None:
    clock = Clock()
    attendance = Attendance(clock)
    asked = clock.now
    clock.now += 1
    attendance.dismiss("t", "bob", "no_member")
    clock.now += 1
    _, ended = taken(attendance, "t", "bob", since=asked)
    assert ended == ["no_member"]
    # Invited again: this time it was asked after the removal, and the answer was yes.
    _, again = taken(attendance, "t", "bob", since=clock.now)
    assert again == []
    attendance.dismiss("u", "", "thread_deleted")
    _, deleted = taken(attendance, "u", "bob", since=asked)
    assert deleted == ["thread_deleted"]


def test_changes_are_told_and_leaving_twice_is_leaving_once() -> None:
    attendance = Attendance(Clock())
    told: list[tuple[str, str, int]] = []
    attendance.changed = lambda thread, user: told.append((thread, user, attendance.count(thread, user)))
    one, _ = taken(attendance, "t", "bob", since=0)
    two, _ = taken(attendance, "t", "bob", since=0)
    attendance.leave(one)
    attendance.leave(one)
    attendance.leave(two)
    assert told == [("t", "bob", 1), ("t", "bob", 2), ("t", "bob", 1), ("t", "bob", 0)]
    assert attendance.all() == []


def test_what_several_gateways_say_is_one_picture() -> None:
    said = [
        ("bob", Presence(at="", connections=2)),
        ("ada", Presence(at="", connections=1)),
        ("bob", Presence(at="", connections=1)),
        ("eve", Presence(at="", typing=True)),
        ("gone", Presence(at="", connections=0)),
    ]
    assert who_is_there(said) == [
        Present(user_id="ada", connections=1, typing=False),
        Present(user_id="bob", connections=3, typing=False),
        Present(user_id="eve", connections=0, typing=True),
    ]
    assert presence_frame("t", who_is_there(said[:1])) == (
        b'event: presence\ndata: {"type":"presence","thread_id":"t","items":[{"user_id":"bob","connections":2,"typing":false}]}\n\n'
    )
