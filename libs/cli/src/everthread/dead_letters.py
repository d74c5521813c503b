"""`everthread dead-letters`: deliveries that could not be handled, and sending one of them again."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bus.errors import BusError
from bus.jetstream import JetStreamBus, connect
from bus.jetstream.dead_letter_desk import DeadLetter

from everthread.errors import RefusedError
from everthread.screen import printable
from everthread.telling import only_errors

CONNECT_SECONDS = 10.0
T = TypeVar("T")


def show_letters(nats_url: str, *, limit: int, as_json: bool) -> int:
    """Print the newest dead letters; returns the exit code. Raises RefusedError."""
    letters = _with_bus(nats_url, lambda bus: bus.desk.newest(limit))
    if as_json:
        print(json.dumps([_as_json(letter) for letter in letters], indent=1))
        return 0
    for letter in letters:
        about = f"{letter.id}  {letter.stored_at[:19]}  {letter.consumer}  {letter.subject}"
        print(f"{printable(about)}\n    {printable(letter.reason)}")
    print(f"{len(letters)} dead letter{'' if len(letters) == 1 else 's'}." if letters else "No dead letters.")
    return 0


def retry_letter(nats_url: str, id: int) -> int:
    """Publish one again where it came from, and take it away. Raises RefusedError."""

    async def retry(bus: JetStreamBus) -> DeadLetter:
        letter = await bus.desk.letter(id)
        if letter is None:
            raise RefusedError(f"there is no dead letter {id}; list them with `everthread dead-letters`")
        await bus.desk.retry(letter)
        return letter

    letter = _with_bus(nats_url, retry)
    print(f"Dead letter {id} was published to {letter.subject} again and taken away.")
    return 0


def _as_json(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "stored_at": letter.stored_at,
        "reason": letter.reason,
        "stream": letter.stream,
        "consumer": letter.consumer,
        "subject": letter.subject,
        "stream_sequence": letter.stream_sequence,
        "delivered": letter.delivered,
        "bytes": len(letter.data),
    }


def _with_bus(nats_url: str, work: Callable[[JetStreamBus], Awaitable[T]]) -> T:
    async def with_bus() -> T:
        bus = await connect(nats_url, instance="dead-letters", budget=CONNECT_SECONDS)
        try:
            return await work(bus)
        finally:
            await bus.drain()

    only_errors()
    try:
        return asyncio.run(with_bus())
    except BusError as error:
        raise RefusedError(str(error).rstrip(".")) from None
