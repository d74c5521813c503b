"""Who holds which run, as far as the claims that were heard tell: what a death notice is answered from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerClaim:
    """One live claim. `fence` is its stream sequence; `delivery` the reply subject of the delivery it works on."""

    thread_id: str
    run_id: str
    worker: str
    fence: int
    delivery: str


class PeerClaims:
    """The newest claim of every run that is held now. Claims may be heard in any order and more than once."""

    def __init__(self) -> None:
        self._by_run: dict[str, PeerClaim] = {}
        self._released: dict[str, int] = {}
        self._lost: dict[str, float] = {}

    def hear(self, claim: PeerClaim, *, released: bool) -> None:
        """A claim, or the mark that one was released; an older one than known changes nothing."""
        known = self._by_run.get(claim.run_id)
        newest = max(known.fence if known else 0, self._released.get(claim.run_id, 0))
        if claim.fence < newest:
            return
        if released:
            self._by_run.pop(claim.run_id, None)
            self._remember_release(claim)
        elif claim.fence > self._released.get(claim.run_id, 0):
            self._by_run[claim.run_id] = claim
            self._lost.pop(claim.worker, None)

    def _remember_release(self, claim: PeerClaim) -> None:
        self._released[claim.run_id] = claim.fence
        while len(self._released) > 10_000:
            del self._released[next(iter(self._released))]

    def lose(self, worker: str, told_at: float) -> None:
        """The worker is said to be dead, since `told_at`; what it claims or answers from now on shows that it is not."""
        self._lost[worker] = told_at
        if len(self._lost) > 1000:
            del self._lost[next(iter(self._lost))]

    def find(self, worker: str) -> None:
        """It lives, or may do."""
        self._lost.pop(worker, None)

    def lost_since(self, worker: str) -> float | None:
        """Since when it is said to be dead; None where it is not."""
        return self._lost.get(worker)

    def of(self, worker: str) -> list[PeerClaim]:
        """What that worker holds."""
        return [claim for claim in self._by_run.values() if claim.worker == worker]

    def workers(self) -> set[str]:
        """Everybody who holds something."""
        return {claim.worker for claim in self._by_run.values()}

    def is_current(self, claim: PeerClaim) -> bool:
        """Nobody has claimed the run since, and it was not released."""
        return self._by_run.get(claim.run_id) == claim

    def __len__(self) -> int:
        return len(self._by_run)
