"""A claim was stored, by anybody: remember who holds what, and let go of a run that another worker has taken."""

from inference.domain.interruptions import Replaced
from inference.domain.peers import PeerClaim, PeerClaims
from inference.handlers.running import RunningRuns


def hear_claim(claims: PeerClaims, running: RunningRuns, claim: PeerClaim, *, released: bool, worker: str) -> None:
    """`worker` is this one. A worker that was stopped for a while hears here, before its next append, that it is out."""
    claims.hear(claim, released=released)
    mine = running.find(claim.run_id)
    if mine is not None and claim.worker != worker and 0 < mine.fence < claim.fence:
        mine.interrupt(Replaced())
