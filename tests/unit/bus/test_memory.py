"""What only the twin can do."""

import pytest
from bus.api import Bus
from bus.errors import UnavailableError
from bus.memory import Broker, MemoryBus
from contracts import ids


async def test_an_outage_refuses_reads_and_writes_until_it_ends() -> None:
    bus = MemoryBus("worker")
    thread_id, run_id = ids.new_id(ids.THREAD), ids.new_id(ids.RUN)
    claim = await bus.run_log.claim(thread_id, run_id, worker="w", delivery="", after=None)
    bus.reachable = False
    with pytest.raises(UnavailableError):
        await bus.run_log.append(claim, 1, b"1")
    with pytest.raises(UnavailableError):
        await bus.publish("thread.x.created", b"", message_id="1")
    bus.reachable = True
    await bus.run_log.append(claim, 1, b"1")


async def test_a_kill_is_announced_to_the_others() -> None:
    broker = Broker()
    alive: Bus = MemoryBus("alive", broker)
    dead = MemoryBus("dead", broker)
    heard: list[str] = []

    async def on_death(name: str) -> None:
        heard.append(name)

    await alive.on_disconnect(on_death)
    await dead.on_disconnect(on_death)
    await dead.kill()
    assert heard == [dead.name]


async def test_a_released_claim_expires() -> None:
    bus = MemoryBus("worker", released_for=0.0)
    thread_id, run_id = ids.new_id(ids.THREAD), ids.new_id(ids.RUN)
    claim = await bus.run_log.claim(thread_id, run_id, worker="w", delivery="", after=None)
    await bus.run_log.release(claim)
    assert await bus.run_log.holder(thread_id, run_id) is None
