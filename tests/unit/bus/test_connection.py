"""Waiting for the connection lets others run, also between the client's loss of it and its word about that; a subscription
that has ended keeps nothing."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from bus.jetstream.client import Message, NatsClient
from bus.jetstream.connection import Connection


class HalfLost(NatsClient):
    """A client that has lost its connection and has not yet called back."""

    stands = False

    @property
    def is_connected(self) -> bool:
        return self.stands


async def lost_unsaid() -> tuple[Connection, HalfLost]:
    client = HalfLost()
    connection = Connection(client, "one", "_INBOX")
    await connection.on_regained()
    return connection, client


async def test_the_word_of_the_loss_can_come_while_somebody_asks_again_and_again() -> None:
    connection, client = await lost_unsaid()
    told = asyncio.Event()
    connection.when_lost(told.set)
    saying = asyncio.create_task(connection.on_lost())
    async with asyncio.timeout(20):
        # As a subscriber does: whoever is told no asks again.
        while not told.is_set():
            assert not await connection.until_connected(0.05)
        await saying
        regained = asyncio.create_task(connection.until_connected(20))
        await asyncio.sleep(0)
        client.stands = True
        await connection.on_regained()
        assert await regained


@pytest.mark.parametrize("said", [True, False])
async def test_no_connection_within_the_time(said: bool) -> None:
    connection, _ = await lost_unsaid()
    if said:
        await connection.on_lost()
    assert not await connection.until_connected(0.02)
    assert not await connection.until_connected(0)


class Unwired(NatsClient):
    """A client whose commands go nowhere."""

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        return None


class Viewer:
    """Whoever hears, with what it has heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def hear(self, message: Message) -> None:
        self.heard.append(message.data)


async def test_who_heard_is_let_go_of_with_the_subscription() -> None:
    client, viewer = Unwired(), Viewer()
    subscription = await client.hear("live.run", viewer.hear)
    await client._process_msg(1, b"live.run", b"", b"a word", b"")
    await subscription.unsubscribe()
    heard, gone = viewer.heard, weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None
    await client._process_msg(1, b"live.run", b"", b"one too late", b"")
    assert heard == [b"a word"]
