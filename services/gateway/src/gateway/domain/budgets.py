"""What one user may take of this gateway: messages by a token bucket, streams by a count. Time comes in as an argument."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class MessageBudget:
    """A token bucket per user: `burst` messages at once, then `per_second` of them. A full bucket is not kept."""

    per_second: float
    burst: int
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _swept_at: float = 0.0

    def take(self, user_id: str, now: float) -> float:
        """Take one; 0 when it was there, else the seconds until there is one. `now` is a monotonic time in seconds."""
        if now - self._swept_at > 60:
            self._sweep(now)
        left, at = self._buckets.get(user_id, (float(self.burst), now))
        left = min(self.burst, left + (now - at) * self.per_second)
        if left < 1:
            self._buckets[user_id] = (left, now)
            return (1 - left) / self.per_second
        self._buckets[user_id] = (left - 1, now)
        return 0.0

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        full = [u for u, (left, at) in self._buckets.items() if left + (now - at) * self.per_second >= self.burst]
        for user_id in full:
            del self._buckets[user_id]


@dataclass(slots=True)
class StreamBudget:
    """How many event streams a user has open here."""

    per_user: int
    _open: dict[str, int] = field(default_factory=dict)

    def enter(self, user_id: str) -> bool:
        """Count one more; False, and nothing counted, where the user has as many as allowed."""
        count = self._open.get(user_id, 0)
        if count >= self.per_user:
            return False
        self._open[user_id] = count + 1
        return True

    def leave(self, user_id: str) -> None:
        """One less."""
        count = self._open[user_id] - 1
        if count:
            self._open[user_id] = count
        else:
            del self._open[user_id]
