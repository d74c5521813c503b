"""What waits to be appended: control events in order, and deltas that join while an append is in flight."""

from collections import deque
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

    @property
    def text(self) -> str:
        return self.pieces[0] if len(self.pieces) == 1 else "".join(self.pieces)


class Checkpoint:
    """Asks for a snapshot at this place of the log."""


Item = JoinedDelta | RunEvent | Checkpoint


class Pending:
    """First in, first out; a delta joins the one before it when nothing stands between them and both are of one part."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self.size = 0
        """Characters of text that wait."""

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: RunEvent | Checkpoint) -> None:
        """Queue an event or a snapshot."""
        self._items.append(item)

    def add_delta(self, part: int, delta: str, *, reasoning: bool) -> None:
        """Queue text."""
        size = len(delta)
        self.size += size
        last = self._items[-1] if self._items else None
        if (
            isinstance(last, JoinedDelta)
            and last.part == part
            and last.reasoning == reasoning
            and last.size + size <= MAX_JOINED
        ):
            last.pieces.append(delta)
            last.size += size
            return
        for start in range(0, size, MAX_JOINED):
            piece = delta if size <= MAX_JOINED else delta[start : start + MAX_JOINED]
            self._items.append(JoinedDelta(reasoning, part, [piece], len(piece)))

    def take(self) -> Item | None:
        """The next thing to append, None when nothing waits."""
        if not self._items:
            return None
        item = self._items.popleft()
        if isinstance(item, JoinedDelta):
            self.size -= item.size
        return item
