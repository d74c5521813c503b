"""Waiting before another try: full jitter, the other side's wish honoured, a budget."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`tries` includes the first one. `budget`: seconds from the first try within which another may begin."""

    tries: int = 6
    first: float = 0.25
    longest: float = 10.0
    budget: float = 60.0

    def delay(self, tried: int, *, elapsed: float, retry_after: float | None, random: float) -> float | None:
        """Seconds to wait after `tried` tries, None to give up. `random` is uniform in [0, 1).

        Full jitter (any wait up to the bound, which doubles), since many callers meet the same limit at once. A wish of the
        other side is never undercut; one that goes beyond the budget means giving up now, not later.
        """
        if tried >= self.tries:
            return None
        wait = min(self.longest, self.first * 2 ** min(tried - 1, 20)) * random
        if retry_after is not None:
            wait += retry_after
        return None if elapsed + wait > self.budget else wait
