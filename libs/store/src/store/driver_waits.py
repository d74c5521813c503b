"""The driver's waits for a free connection, made safe to cancel on Python 3.11.

pymongo waits on a condition through `asyncio.wait_for`. Before Python 3.12 that puts the wait into a task of its own, and who is
cancelled while the timed-out wait still wants its lock back goes on without it: a lock is released that somebody else holds, and
taken by a task that nobody waits for. Such a lock can stay locked for ever, and with it every later operation of the client,
which no timeout of the driver ends. Calls whose callers leave are cancelled all the time, so a database that stands still for
some seconds is enough.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, TypeVar

from pymongo import lock

T = TypeVar("T")


def make_cancellable() -> None:
    """Have the driver wait as it does on Python 3.12 and later. Idempotent; to be called before a client is used."""
    if sys.version_info < (3, 12):
        driver: Any = lock
        driver.wait_for = _wait_in_place


async def _wait_in_place(awaitable: Awaitable[T], timeout: float | None) -> T:
    """asyncio.wait_for of Python 3.12: whoever waits is in the wait itself, and leaves when that has ended. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        return await awaitable
