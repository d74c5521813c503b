"""Who notices that a run is watched by nobody any more, and who is not fooled by those who come back or have seen its end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from bus.api import Claim
from bus.memory import Broker, MemoryBus
from contracts.events import RunCancelled, RunStarted, encode_event
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.subjects import run_subject, thread_events_subject
from contracts.usage import Usage
from gateway.adapters import departures
from gateway.adapters.departures import WatchedLog


class World:
    """A run in a log in memory, and who was told of its departure."""

    def __init__(self) -> None:
        self.bus = MemoryBus("gateway-1", Broker())
        self.told: list[str] = []
        self.log = WatchedLog(self.bus.run_log, self._tell)
        self.thread_id, self.run_id = new_id(THREAD), new_id(RUN)
        self.subject = run_subject(self.thread_id, self.run_id, "event")
        self.claim: Claim

    async def _tell(self, run_id: str) -> None:
        self.told.append(run_id)

    async def begin(self) -> None:
        head = {"thread_id": self.thread_id, "run_id": self.run_id, "attempt": 1, "at": ""}
        self.message_id = new_id(MESSAGE)
        self.claim = await self.bus.run_log.claim(self.thread_id, self.run_id, worker="w", delivery="", after=None)
        started = RunStarted(**head, sequence=1, message_id=self.message_id, model="m", path="durable_event")  # type: ignore[arg-type]  # one head for two events
        await self.bus.run_log.append(self.claim, 1, encode_event(started))

    async def end(self) -> None:
        ended = RunCancelled(
            thread_id=self.thread_id,
            run_id=self.run_id,
            attempt=1,
            at="",
            sequence=2,
            message_id=self.message_id,
            by="",
            usage=Usage(),
            cost_microusd=0,
        )
        await self.bus.run_log.append(self.claim, 2, encode_event(ended))

    async def watch(self, subject: str = "") -> None:
        async with self.log.follow(subject or self.subject) as batches:
            await anext(batches)

    async def settle(self) -> None:
        """Until whoever left has been told, or would have been."""
        await asyncio.sleep(0.1)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(departures, "LEFT_SECONDS", 0.02)
    made = World()
    await made.begin()
    yield made
    await made.log.close()


async def test_the_last_one_who_leaves_before_the_end_is_told_once(world: World) -> None:
    async with world.log.follow(world.subject) as batches:
        await anext(batches)
        await world.watch()
        await world.settle()
        assert world.told == []
    await world.settle()
    assert world.told == [world.run_id]


async def test_whoever_comes_back_at_once_has_not_left(world: World) -> None:
    await world.watch()
    async with world.log.follow(world.subject) as batches:
        await anext(batches)
        await world.settle()
        await world.end()
    await world.settle()
    assert world.told == []


async def test_a_run_that_ends_meanwhile_was_not_left(world: World) -> None:
    await world.watch()
    await world.end()
    await world.settle()
    assert world.told == []


async def test_a_whole_thread_and_a_process_that_stops_tell_nothing(world: World) -> None:
    await world.watch(thread_events_subject(world.thread_id))
    await world.settle()
    await world.watch()
    await world.log.close()
    await world.settle()
    assert world.told == []
