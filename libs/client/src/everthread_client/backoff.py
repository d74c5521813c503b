"""How long to wait before the next attempt."""

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 10.0


class Backoff:
    """Full jitter over a window that doubles with each failure in a row, from the server's `retry:` upward.

    Jitter matters more than the length: two thousand clients that lost one gateway must not come back in one instant.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self.base = FIRST_SECONDS
        """The first window, in seconds; the server's `retry:` replaces it."""

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait now, never less than `at_least` (a Retry-After)."""
        window: float = min(self.base * 2**self._failures, max(self.base, LONGEST_SECONDS))
        self._failures = min(self._failures + 1, 32)
        return at_least + window * self._random()

    def succeeded(self) -> None:
        """Something arrived; the next failure is the first one again."""
        self._failures = 0
