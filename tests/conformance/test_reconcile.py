"""The server's streams and consumers follow the topology."""

import asyncio
from dataclasses import replace

import pytest
from bus.errors import BusError, StreamFullError
from bus.jetstream import connect
from contracts import topology

from tests.servers import NatsServer

from .conftest import SMALL, RealWorld


async def test_five_services_at_once_agree(nats: NatsServer) -> None:
    buses = [await connect(nats.url("conversation"), instance=f"conversation-{number}") for number in range(5)]
    await asyncio.gather(*(bus.reconcile() for bus in buses))
    await buses[0].publish("thread.x.created", b"{}", message_id="1")
    for bus in buses:
        await bus.drain()


async def test_a_changed_limit_is_applied_and_nothing_is_lost(real_world: RealWorld) -> None:
    bus = await real_world.connect("admin")
    await bus.publish("small.a", b"kept", message_id="1")
    with pytest.raises(StreamFullError):
        await bus.publish("small.a", b"x" * 3000, message_id="2")
    admin = await connect(real_world.server.url(), instance="admin")
    await admin.reconcile(streams=(replace(SMALL, max_bytes=10_000),), consumers=())
    await bus.publish("small.a", b"x" * 3000, message_id="2")
    assert [entry.data async for entry in bus.read_stream("SMALL", "small.>")] == [b"kept", b"x" * 3000]
    await admin.drain()


async def test_what_cannot_be_set_up_is_named(nats: NatsServer) -> None:
    bus = await connect(nats.url(), instance="admin")
    impossible = topology.Stream(name="ODD", subjects=("odd.>",), why="", discard="new", allow_msg_schedules=True)
    with pytest.raises(BusError, match="cannot set up ODD"):
        await bus.reconcile(streams=(impossible,), consumers=())
    await bus.drain()
