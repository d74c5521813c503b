"""What only the twin can do."""

import asyncio
from dataclasses import replace

import pytest
from bus.api import Bus, Delivery, Done, Outcome
from bus.errors import UnavailableError
from bus.memory import Broker, MemoryBus
from contracts import ids
from contracts.subjects import execute_subject
from contracts.topology import EXECUTE


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


@pytest.mark.parametrize("turns", range(8))
async def test_what_reaches_a_process_as_it_dies_is_delivered_to_another(turns: int) -> None:
    """Whatever of the dead one still runs in this process must neither settle it nor keep its lease."""
    work, run_id = replace(EXECUTE, ack_wait=0.05), ids.new_id(ids.RUN)
    broker = Broker(consumers=[work])
    dying, other = MemoryBus("dying", broker), MemoryBus("other", broker)
    done: list[str] = []

    async def hang(delivery: Delivery) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            done.append("hung")
        return Done()

    async def do(delivery: Delivery) -> Outcome:
        done.append("done")
        return Done()

    consuming = [asyncio.create_task(dying.consume(work, hang, concurrency=3))]
    await asyncio.sleep(0)
    await other.publish(execute_subject(run_id), b"", message_id="1")
    for _ in range(turns):
        await asyncio.sleep(0)
    await dying.kill()
    consuming.append(asyncio.create_task(other.consume(work, do, concurrency=1)))
    async with asyncio.timeout(30):
        while "done" not in done:
            await asyncio.sleep(0.005)
    assert await other.last_of("COMMANDS", execute_subject(run_id)) is None
    for task in consuming:
        task.cancel()
    await asyncio.gather(*consuming, return_exceptions=True)
    broker.close()


async def test_a_released_claim_expires() -> None:
    bus = MemoryBus("worker", released_for=0.0)
    thread_id, run_id = ids.new_id(ids.THREAD), ids.new_id(ids.RUN)
    claim = await bus.run_log.claim(thread_id, run_id, worker="w", delivery="", after=None)
    await bus.run_log.release(claim)
    assert await bus.run_log.holder(thread_id, run_id) is None
