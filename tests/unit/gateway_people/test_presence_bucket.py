"""Two gateways over one broker: what one says the other hears, and what nobody says again is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from bus.memory import Broker, MemoryBus
from contracts.ids import THREAD, USER, new_id
from contracts.presence import decode_presence
from contracts.topology import PRESENCE
from gateway.adapters.presence_bucket import PresenceBucket
from gateway.domain.attendance import Attendance

THREAD_ID, ADA, BOB = new_id(THREAD), new_id(USER), new_id(USER)


@asynccontextmanager
async def gateway(
    broker: Broker, name: str, seconds: float = 1.5
) -> AsyncIterator[tuple[PresenceBucket, Attendance, MemoryBus]]:
    bus, attendance = MemoryBus(name, broker), Attendance()
    bucket = PresenceBucket(bus, attendance, place=name, seconds=seconds)
    bucket.start()
    try:
        yield bucket, attendance, bus
    finally:
        await bucket.close()
        await bus.drain()


def said(frame: bytes) -> dict[str, tuple[int, bool]]:
    body = msgspec.json.decode(frame.split(b"data: ")[1])
    return {item["user_id"]: (item["connections"], item["typing"]) for item in body["items"]}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_who_comes_goes_and_types_is_heard_at_the_other_gateway() -> None:
    broker = Broker()
    async with gateway(broker, "gateway-1") as (here, _, _), gateway(broker, "gateway-2") as (there, away, _):
        heard: list[bytes] = []
        room = here.listen(THREAD_ID, heard.append)
        await until(lambda: bool(heard))
        assert said(heard[-1]) == {}
        seats = [away.take(THREAD_ID, BOB, lambda _: None, since=0) for _ in range(2)]
        await until(lambda: said(heard[-1]) == {BOB: (2, False)})
        late: list[bytes] = []
        second = here.listen(THREAD_ID, late.append)
        assert said(late[-1]) == {BOB: (2, False)}
        await there.typing(THREAD_ID, ADA)
        await until(lambda: said(heard[-1]) == {ADA: (0, True), BOB: (2, False)})
        assert [(one.user_id, one.connections, one.typing) for one in await here.read(THREAD_ID)] == sorted(
            [(ADA, 0, True), (BOB, 2, False)]
        )
        # Whoever is here says so again, so that it is still known when the first entry has expired.
        first = broker.streams[PRESENCE.name].last_sequence
        await until(lambda: broker.streams[PRESENCE.name].last_sequence > first + 4)
        assert said(heard[-1])[BOB] == (2, False)
        for seat in seats:
            away.leave(seat)
        await until(lambda: BOB not in said(heard[-1]))
        room.close()
        second.close()


async def test_a_gateway_that_is_gone_takes_its_viewers_with_it_after_a_while() -> None:
    broker = Broker()
    async with gateway(broker, "gateway-1") as (here, _, _), gateway(broker, "gateway-2") as (_, away, bus):
        heard: list[bytes] = []
        room = here.listen(THREAD_ID, heard.append)
        away.take(THREAD_ID, BOB, lambda _: None, since=0)
        await until(lambda: bool(heard) and said(heard[-1]) == {BOB: (1, False)})
        bus.reachable = False
        await until(lambda: said(heard[-1]) == {})
        async with asyncio.timeout(20):
            while await here.read(THREAD_ID):
                await asyncio.sleep(0.05)
        room.close()


async def test_leaving_says_that_nobody_is_here() -> None:
    broker = Broker()
    async with gateway(broker, "gateway-1", seconds=60) as (_, here, _):
        here.take(THREAD_ID, ADA, lambda _: None, since=0)
        await until(lambda: len(broker.streams[PRESENCE.name].entries) == 1)
    (stored,) = broker.streams[PRESENCE.name].entries.values()
    assert decode_presence(stored.entry.data).connections == 0
