"""One-time tickets for connections whose page has no token of its own. Time and randomness come in as arguments."""

from dataclasses import dataclass, field
from typing import Final

from contracts.codes import Code

from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal

TICKET_SECONDS: Final = 30
TICKETS_PER_USER: Final = 20


def no_ticket() -> Refusal:
    """What whoever comes with an unknown, a used or an old ticket is told."""
    return Refusal(
        Code.TOKEN_INVALID,
        f"There is no such ticket, it was used, or it is older than {TICKET_SECONDS} seconds; get a new one.",
    )


@dataclass(slots=True)
class Tickets:
    """The tickets that this process has issued, each of which can be used once. `now` is a monotonic time in seconds."""

    _open: dict[str, tuple[float, Principal]] = field(default_factory=dict)

    def issue(self, principal: Principal, secret: str, now: float) -> str:
        """Keep `secret` (unguessable, never used before) as a ticket of this caller; raises Refusal where there are too many."""
        self._sweep(now)
        if sum(owner.user_id == principal.user_id for _, owner in self._open.values()) >= TICKETS_PER_USER:
            raise Refusal(Code.LIMIT_REACHED, "Too many unused tickets; use one first.", retry_after=TICKET_SECONDS)
        self._open[secret] = (now + TICKET_SECONDS, principal)
        return secret

    def redeem(self, ticket: str, now: float) -> Principal:
        """The caller it was issued to; it is used up. Raises Refusal."""
        until, principal = self._open.pop(ticket, (now, None))
        if principal is None or now >= until:
            raise no_ticket()
        return principal

    def forget(self, ticket: str) -> None:
        """It was used, here or elsewhere."""
        self._open.pop(ticket, None)

    def _sweep(self, now: float) -> None:
        # Oldest first: all live equally long.
        while self._open:
            ticket, (until, _) = next(iter(self._open.items()))
            if until > now:
                return
            del self._open[ticket]
