"""`POST /v1/ws/ticket`: a caller with a token gets a ticket for one WebSocket, for a page that should not see the token."""

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from gateway.domain.identity import Principal
from gateway.domain.tickets import TICKET_SECONDS
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of

router = APIRouter(prefix="/v1")


class TicketView(BaseModel):
    """Good once, at this gateway, for `expires_in` seconds."""

    ticket: str
    expires_in: int


@router.post("/ws/ticket", status_code=201, tags=["websocket"])
async def post_ticket(
    caller: Annotated[Principal, Depends(principal_of)], wiring: Annotated[Wiring, Depends(wiring_of)]
) -> TicketView:
    """Get a one-time ticket for `/v1/ws`. The connection ends when the token does that paid for it."""
    now = asyncio.get_running_loop().time()
    return TicketView(ticket=wiring.tickets.issue(caller, secrets.token_urlsafe(32), now), expires_in=TICKET_SECONDS)
