"""Tickets over a real nats-server with the gateway's permissions: issued at one gateway, used once at any."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bus.jetstream import JetStreamBus, connect
from gateway.adapters.ticket_bucket import TicketBucket
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.tickets import TICKET_SECONDS, Tickets
from gateway.handlers.use_tickets import issue_ticket, redeem_ticket

from tests.servers import NatsServer

ADA = Principal("usr_" + "0" * 26, "user", 4_000_000_000.0, plan="pro")


@pytest.fixture
async def gateways(tmp_path: Path) -> AsyncIterator[list[JetStreamBus]]:
    server = NatsServer(tmp_path)
    server.start()
    admin = await connect(server.url("conversation"), instance="conversation-1")
    await admin.reconcile()
    buses = [await connect(server.url("gateway"), instance=f"gateway-{number}") for number in (1, 2)]
    yield buses
    for bus in (*buses, admin):
        await bus.drain()
    server.stop()


async def test_a_ticket_is_good_at_any_gateway_once_and_not_for_long(gateways: list[JetStreamBus]) -> None:
    stores = [TicketBucket(bus) for bus in gateways]
    here, there = Tickets(), Tickets()
    secrets = ["one", "two"]
    for secret in secrets:
        await issue_ticket(here, stores[0], ADA, secret, now=0, clock=1000)
    tries = [redeem_ticket(there, store, "one", now=1, clock=1001) for store in stores * 4]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert [one for one in found if isinstance(one, Principal)] == [ADA]
    assert sum(isinstance(one, Refusal) for one in found) == 7
    for late in ("two", "never"):
        with pytest.raises(Refusal, match="get a new one"):
            await redeem_ticket(there, stores[1], late, now=1, clock=1000 + TICKET_SECONDS)
    assert not any([b"one" in entry.data async for entry in gateways[0].read_stream("KV_tickets", "$KV.tickets.>")])
