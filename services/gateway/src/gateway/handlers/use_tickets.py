"""One-time tickets for WebSockets: issued at one gateway, used at any."""

import asyncio
import hashlib

from bus.errors import BusError
from contracts.codes import Code

from gateway.domain.identity import Principal
from gateway.domain.patience import ANSWER_SECONDS
from gateway.domain.problems import Refusal
from gateway.domain.tickets import TICKET_SECONDS, Tickets, no_ticket
from gateway.ports import TicketStore


async def issue_ticket(
    tickets: Tickets, store: TicketStore | None, caller: Principal, secret: str, *, now: float, clock: float
) -> str:
    """Keep `secret` (unguessable, never used before) as a ticket of the caller. `now` is monotonic, `clock` Unix time. Raises
    Refusal: too many, or unavailable."""
    tickets.issue(caller, secret, now)
    if store is not None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await store.put(_digest(secret), caller, clock + TICKET_SECONDS)
        except (BusError, TimeoutError) as error:
            tickets.forget(secret)
            raise Refusal(Code.UNAVAILABLE, "No ticket can be had just now; try again, or use the token.") from error
    return secret


async def redeem_ticket(
    tickets: Tickets, store: TicketStore | None, ticket: str, *, now: float, clock: float
) -> Principal:
    """The caller it was issued to; it is used up. Raises Refusal."""
    if store is None:
        return tickets.redeem(ticket, now)
    tickets.forget(ticket)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            principal = await store.take(_digest(ticket), clock)
    except (BusError, TimeoutError) as error:
        raise Refusal(Code.UNAVAILABLE, "Tickets cannot be checked just now; try again, or use the token.") from error
    if principal is None:
        raise no_ticket()
    return principal


def _digest(ticket: str) -> str:
    # Whoever can read the bucket must not be able to use what is in it.
    return hashlib.sha256(ticket.encode()).hexdigest()
