"""Which answers a client may still be owed: for `GET /api/chat/{id}/stream`, whose client says nothing about what it has.

While a run lives, the answer is easy. Once it has ended, a client that was cut off in its middle must get the whole, and a
client that opens a page with a finished answer must get 204 and stay silent. So this process remembers, for a while, how the
streams of a run ended here; where it knows nothing (another gateway served it, or this one is new), an answer that ended a moment
ago is sent again: the client replaces the message by its id, so that a repetition shows nothing new.
"""

from dataclasses import dataclass, field
from typing import Final

REMEMBERED_SECONDS: Final = 600.0
RECENT_SECONDS: Final = 60.0
MOST: Final = 20_000


@dataclass(slots=True)
class Deliveries:
    """How the last stream of each run ended here: (whole or not, when, in seconds)."""

    _ended: dict[str, tuple[bool, float]] = field(default_factory=dict)

    def note(self, run_id: str, *, whole: bool, now: float) -> None:
        """A stream of the run ended: with its last frame, or in its middle."""
        self._ended.pop(run_id, None)
        self._ended[run_id] = (whole, now)
        while len(self._ended) > MOST:
            del self._ended[next(iter(self._ended))]

    def is_owed(self, run_id: str, *, ended_seconds_ago: float, now: float) -> bool:
        """Whether a client that asks for an ended run shall get it again."""
        known = self._ended.get(run_id)
        if known is not None and now - known[1] < REMEMBERED_SECONDS:
            return not known[0]
        return ended_seconds_ago < RECENT_SECONDS
