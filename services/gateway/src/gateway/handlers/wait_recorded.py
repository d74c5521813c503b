"""Waiting for what was shown to be stored as well."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

SECONDS: Final = 5.0
"""How long a look after the other may go on."""
PAUSES: Final = (0.02, 0.02, 0.04, 0.08, 0.16, 0.3, 0.5, 0.8, 1.0, 1.0, 1.0)
"""Between looks. The first are short: nearly always it takes milliseconds."""

T = TypeVar("T")


async def wait_recorded(look: Callable[[], Awaitable[T | None]], pauses: Sequence[float] = PAUSES) -> T | None:
    """What `look` finds, once more after each of `pauses` (seconds); None where it finds nothing. The end of an answer is shown
    before it is stored, and a program goes on with it at once. Raises what `look` does."""
    try:
        async with asyncio.timeout(SECONDS):
            for pause in pauses:
                if (found := await look()) is not None:
                    return found
                await asyncio.sleep(pause)
            return await look()
    except TimeoutError:
        return None
