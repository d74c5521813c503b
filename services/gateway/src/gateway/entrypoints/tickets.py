"""`POST /v1/ws/ticket`: a caller with a token gets a ticket for one WebSocket, for a page that should not see the token."""

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from gateway.domain.identity import Principal
from gateway.domain.tickets import TICKET_SECONDS
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of
from gateway.handlers.use_tickets import issue_ticket

router = APIRouter(prefix="/v1")


class TicketView(BaseModel):
    """Good once, at any gateway, for `expires_in` seconds."""

    ticket: str
    expires_in: int


@router.post("/ws/ticket", status_code=201, tags=["websocket"])
async def post_ticket(
    caller: Annotated[Principal, Depends(principal_of)], wiring: Annotated[Wiring, Depends(wiring_of)]
) -> TicketView:
    """Get a one-time ticket for `/v1/ws`. The connection ends when the token does that paid for it."""
    now = asyncio.get_running_loop().time()
    ticket = await issue_ticket(
        wiring.tickets, wiring.ticket_store, caller, secrets.token_urlsafe(32), now=now, clock=wiring.clock()
    )
    return TicketView(ticket=ticket, expires_in=TICKET_SECONDS)
