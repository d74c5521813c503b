"""What a WebSocket may hold and for how long: back-pressure of a subscription, the end of a token, the origins let in."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from gateway.domain.frames import feed_frame
from gateway.domain.identity import Principal
from gateway.entrypoints.socket_session import Session
from gateway.ports import LogViewer, Viewer
from websockets.exceptions import ConnectionClosed

from tests.integration.gateway.world import World, start_world, token
from tests.integration.gateway_ws.talk import talking

PAGE = "https://chat.example.org"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = await start_world(origins=(PAGE,))
    yield made
    await made.close()


class Endless:
    """A feed that always has more. `taken` counts what was taken of it."""

    ended = False
    cursor = ""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = False

    async def take(self) -> bytes:
        self.taken += 1
        return feed_frame(self.taken, b'{"type":"x"}')

    def wake(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True

    def first_shown(self, run_id: str) -> float | None:
        return None

    async def of_feed(self, user_id: str, *, after: int | None) -> Viewer:
        return self

    def of_log(self, subject_filter: str, *, after: int, until_terminal: bool) -> LogViewer:
        raise NotImplementedError(subject_filter)


async def test_a_subscription_takes_nothing_while_the_socket_is_full(world: World) -> None:
    endless, room = Endless(), asyncio.Semaphore(1)
    said: list[str] = []

    async def say(messages: list[str]) -> None:
        await room.acquire()
        said.extend(messages)

    session = Session(replace(world.wiring, viewers=endless), Principal("usr_alice", "user", 4e9), say, {})
    await session.do('{"type":"subscribe","id":"s","feed":true}')
    for _ in range(50):
        await asyncio.sleep(0)
    assert (len(said), endless.taken) == (1, 1), "one piece is held, no more"
    for _ in range(3):
        room.release()
    for _ in range(50):
        await asyncio.sleep(0)
    assert (len(said), endless.taken) == (4, 4)
    await session.close()
    assert endless.closed
    assert session.count == 0


async def test_the_connection_ends_with_its_token(world: World) -> None:
    # Two seconds are left of the leeway.
    async with talking(world.base, token("ada", exp=time.time() - 58)) as talk:
        assert (await talk.ask("subscribe", "feed", feed=True))["type"] == "subscribed"
        assert await talk.hear() == {"type": "end", "reason": "token_expired"}
        with pytest.raises(ConnectionClosed) as closed:
            await talk.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_a_page_of_a_listed_origin_is_let_in(world: World) -> None:
    async with talking(world.base, token("ada"), origin=PAGE) as talk:
        assert talk.seen[0]["type"] == "authenticated"
