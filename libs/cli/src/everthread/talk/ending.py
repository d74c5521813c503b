"""What ends a talk from outside: a signal, or the end of the process that started it. The terminal must be left as it was
found first, or whoever comes after types blindly."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the parent lives: nothing tells, where a wrapper (`uv run`) is killed and the terminal stays."""


@asynccontextmanager
async def told_of_the_end(leave: Callable[[int], None]) -> AsyncIterator[None]:
    """Within, `leave` is called with the signal instead of dying by it, and with SIGHUP once the parent is gone. Where the
    terminal is gone as well, or is another group's by now, there is nothing to restore: this process dies at once."""
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        if not _has_terminal():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        leave(number)

    watching = asyncio.create_task(_watch_parent(os.getppid(), end), name="parent")
    for number in SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        watching.cancel()


async def _watch_parent(parent: int, end: Callable[[int], None]) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(LOOK_SECONDS)
    end(signal.SIGHUP)


def _has_terminal() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False
