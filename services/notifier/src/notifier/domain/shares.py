"""How much of the queue is taken, from looks at it that are as rare as they may be."""

from dataclasses import dataclass
from typing import Final

OLDEST: Final = 60.0
"""Seconds that a look is good for while there is plenty of room."""
BRIEFEST: Final = 1.0
"""Seconds between two looks at what is nearly full."""
OTHERS: Final = 8
"""How many notifiers may be queueing, this one included."""


@dataclass(slots=True)
class Share:
    """One webhook's, or what is lent to all. `waiting` is how many there were at the look, `added` how many this process has
    queued since."""

    most: int
    waiting: int = 0
    added: int = 0
    looked_at: float | None = None

    def wants_look(self, now: float) -> bool:
        """What is known is too old to decide by. Nothing is ever refused but by a look of now: what was queued may be gone."""
        if self.looked_at is None or not self.has_room:
            return True
        age = now - self.looked_at
        nearly_full = self.waiting + OTHERS * self.added >= self.most
        return age >= OLDEST or (nearly_full and age >= BRIEFEST)

    def looked(self, waiting: int, now: float) -> None:
        """A look found so many."""
        self.waiting, self.added, self.looked_at = waiting, 0, now

    @property
    def has_room(self) -> bool:
        """One more may be queued, as far as is known."""
        return self.waiting + self.added < self.most
