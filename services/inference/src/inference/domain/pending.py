"""What waits to be appended: control events in order, and deltas that join while an append is in flight."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from contracts.events import RunEvent

MAX_JOINED = 64 * 1024
"""Characters in one joined delta; an event must stay well below the broker's largest message."""


@dataclass(slots=True)
class JoinedDelta:
    """Deltas of one part that have become one. `reasoning` tells which kind."""

    reasoning: bool
    part: int
    pieces: list[str]
    size: int
    agent: str | None = None

    @property
    def text(self) -> str:
        return self.pieces[0] if len(self.pieces) == 1 else "".join(self.pieces)


@dataclass(slots=True)
class Together:
    """Events that are stored all or not at all."""

    events: list[RunEvent]


class Checkpoint:
    """Asks for a snapshot at this place of the log."""


@dataclass(slots=True)
class Barrier:
    """Somebody waits until everything before it is stored, and is told then."""

    tell: Callable[[], None]


Item = JoinedDelta | RunEvent | Together | Checkpoint | Barrier


class Pending:
    """First in, first out; a delta joins the one of its part that waits, unless anything but deltas has come since: several
    agents may write at once, each its own part."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._open: dict[int, JoinedDelta] = {}
        self.size = 0
        """Characters of text that wait."""

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: RunEvent | Together | Checkpoint | Barrier) -> None:
        """Queue an event, several that belong together, a snapshot, or somebody who waits."""
        self._open.clear()
        self._items.append(item)

    def add_delta(self, part: int, delta: str, *, reasoning: bool, agent: str | None = None) -> None:
        """Queue text that `agent` has written."""
        size = len(delta)
        self.size += size
        last = self._open.get(part)
        if last is not None and last.reasoning == reasoning and last.size + size <= MAX_JOINED:
            last.pieces.append(delta)
            last.size += size
            return
        for start in range(0, size, MAX_JOINED):
            piece = delta if size <= MAX_JOINED else delta[start : start + MAX_JOINED]
            self._open[part] = JoinedDelta(reasoning, part, [piece], len(piece), agent)
            self._items.append(self._open[part])

    def take(self) -> Item | None:
        """The next thing to append, None when nothing waits."""
        if not self._items:
            return None
        item = self._items.popleft()
        if isinstance(item, JoinedDelta):
            self.size -= item.size
            if self._open.get(item.part) is item:
                del self._open[item.part]
        return item
