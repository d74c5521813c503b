"""Who is cancelled while the driver waits for a connection leaves the pool's lock to those whose it is."""

import asyncio

import pytest
from pymongo.lock import _async_cond_wait, _async_create_condition, _async_create_lock
from store.database import connect
from store.errors import StoreError


async def test_a_wait_that_is_cancelled_as_it_times_out_takes_no_lock_with_it() -> None:
    with pytest.raises(StoreError):
        await connect("nonsense", application="test")
    lock = _async_create_lock()
    free = _async_create_condition(lock)

    async def check_out() -> None:
        async with free:
            await _async_cond_wait(free, 0.001)

    waiting = asyncio.create_task(check_out())
    await asyncio.sleep(0)
    # Somebody is at work in the pool when the wait times out, so that it wants the lock back first ...
    await lock.acquire()
    await asyncio.sleep(0.05)
    # ... and now its caller leaves.
    waiting.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done(), "it has let go of a lock that is not its own"
    lock.release()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not lock.locked()


async def test_a_wait_ends_when_it_is_told_and_when_its_time_is_over() -> None:
    with pytest.raises(StoreError):
        await connect("nonsense", application="test")
    lock = _async_create_lock()
    free = _async_create_condition(lock)

    async def tell() -> None:
        async with free:
            free.notify()

    async with free:
        assert await _async_cond_wait(free, 0) is False
        telling = asyncio.create_task(tell())
        assert await _async_cond_wait(free, None) is True
    await telling
    assert not lock.locked()
