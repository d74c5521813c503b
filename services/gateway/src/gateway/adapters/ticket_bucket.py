"""Tickets in a key-value bucket of the broker: one entry when it is issued, one when it is used, gone after a minute."""

import asyncio
from typing import Final

import msgspec
from bus.errors import RevisionConflictError
from bus.key_values import KeyValues
from contracts import topology
from contracts.subjects import ticket_subject

from gateway.domain.identity import Principal

STREAM: Final = topology.TICKETS.name
USED: Final = b""
LOOKS: Final = 3
LOOK_SECONDS: Final = 0.05
"""A replica may not have heard yet of a ticket that is a moment old."""


class _Ticket(msgspec.Struct):
    principal: Principal
    until: float


_decoder: Final = msgspec.json.Decoder(_Ticket)


class TicketBucket:
    """`ports.TicketStore`."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus: Final = bus

    async def put(self, digest: str, principal: Principal, until: float) -> None:
        """See ports.TicketStore."""
        data = msgspec.json.encode(_Ticket(principal, until))
        await self._bus.compare_and_set(STREAM, ticket_subject(digest), data, expected=0)

    async def take(self, digest: str, now: float) -> Principal | None:
        """See ports.TicketStore."""
        subject = ticket_subject(digest)
        last = await self._bus.last_of(STREAM, subject)
        for _ in range(LOOKS):
            if last is not None:
                break
            await asyncio.sleep(LOOK_SECONDS)
            last = await self._bus.last_of(STREAM, subject)
        if last is None or last.data == USED:
            return None
        ticket = _decoder.decode(last.data)
        if now >= ticket.until:
            return None
        try:
            await self._bus.compare_and_set(STREAM, subject, USED, expected=last.stream_sequence)
        except RevisionConflictError:
            return None
        return ticket.principal
