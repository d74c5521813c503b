"""Who watches which thread through this gateway, over how many connections; and whose watching ends because they may no longer."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 10_000
NO_MEMBER: Final = "no_member"
"""The reason for the end of a stream whose viewer was taken out of the thread."""
THREAD_DELETED: Final = "thread_deleted"


class Seat:
    """One connection of one member at one thread. `ended` says why it must end, empty while it need not."""

    __slots__ = ("_end", "ended", "thread_id", "user_id")

    def __init__(self, thread_id: str, user_id: str, end: Callable[[str], None]) -> None:
        self.thread_id: Final = thread_id
        self.user_id: Final = user_id
        self.ended = ""
        self._end: Final = end

    def dismiss(self, reason: str) -> None:
        """Have the connection end."""
        if not self.ended:
            self.ended = reason
            self._end(reason)


class Attendance:
    """All seats of this process. `changed` is called with thread and user whenever their number changes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock: Final = clock
        self.changed: Callable[[str, str], None] = _ignore
        self._seats: dict[str, dict[str, set[Seat]]] = {}
        self._dismissed: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    def take(self, thread_id: str, user_id: str, end: Callable[[str], None], *, since: float) -> Seat:
        """Count one more connection. `since` is a moment of `clock` before it was asked whether the user may: who was
        dismissed after that is dismissed again, as the answer may be older. Pair with `leave`."""
        seat = Seat(thread_id, user_id, end)
        self._seats.setdefault(thread_id, {}).setdefault(user_id, set()).add(seat)
        for whom in (user_id, ""):
            moment, reason = self._dismissed.get((thread_id, whom), (0.0, ""))
            if reason and moment >= since:
                seat.dismiss(reason)
        self.changed(thread_id, user_id)
        return seat

    def leave(self, seat: Seat) -> None:
        """One less. Idempotent."""
        users = self._seats.get(seat.thread_id, {})
        seats = users.get(seat.user_id, set())
        if seat not in seats:
            return
        seats.discard(seat)
        if not seats:
            del users[seat.user_id]
        if not users:
            del self._seats[seat.thread_id]
        self.changed(seat.thread_id, seat.user_id)

    def dismiss(self, thread_id: str, user_id: str, reason: str) -> int:
        """End everything that the user watches of a thread here; with no user, everything that anybody does. Returns how many."""
        self._dismissed.pop((thread_id, user_id), None)
        self._dismissed[thread_id, user_id] = (self.clock(), reason)
        while len(self._dismissed) > REMEMBERED:
            self._dismissed.popitem(last=False)
        users = self._seats.get(thread_id, {})
        found = [seat for user, seats in users.items() if user_id in ("", user) for seat in seats]
        for seat in found:
            seat.dismiss(reason)
        return len(found)

    def count(self, thread_id: str, user_id: str) -> int:
        """How many connections of the user watch the thread."""
        return len(self._seats.get(thread_id, {}).get(user_id, ()))

    def all(self) -> list[tuple[str, str]]:
        """Thread and user of every seat, each once."""
        return [(thread_id, user_id) for thread_id, users in self._seats.items() for user_id in users]


def _ignore(thread_id: str, user_id: str) -> None:
    """Until somebody wants to know."""
