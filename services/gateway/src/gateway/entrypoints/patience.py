"""Answers that need the broker, for people: refused within seconds while it is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bus.errors import UnavailableError
from contracts.codes import Code

from gateway.domain.patience import ANSWER_SECONDS
from gateway.domain.problems import Refusal

UNREAD: Final = "A part of the service did not answer in time. Try again in a moment."
UNCERTAIN: Final = (
    "A part of the service did not answer in time. It is not certain whether this was done; look before you repeat it."
)


@asynccontextmanager
async def patience(*, writes: bool = False) -> AsyncIterator[None]:
    """Do what is inside within ANSWER_SECONDS, or raise Refusal; with `writes` it says that it may have been done."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except (TimeoutError, UnavailableError) as error:
        raise Refusal(Code.UNAVAILABLE, UNCERTAIN if writes else UNREAD) from error
