"""A run's log over NATS: what is stored, by direct get, and what comes, from the subject on which the stream republishes it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec
from contracts.events import TERMINAL_TYPES, RunEvent, decode_event, event_head
from contracts.subjects import live, run_subject
from contracts.topology import RUNS
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from everthread_client.errors import UnreachableError

BATCH: Final = 500
SILENCE_SECONDS: Final = 3.0
"""A lost last event has no successor to reveal it: after this long without any, the log is read again."""
RETRY_SECONDS: Final = 0.2
_GET: Final = f"$JS.API.DIRECT.GET.{RUNS.name}"


async def follow_log(
    client: Client, thread_id: str, run_id: str, *, after: int, patience: float
) -> AsyncGenerator[RunEvent, None]:
    """Events with a sequence above `after`, in order, each once, up to the terminal one. Raises UnreachableError after
    `patience` seconds in which the log could not be read."""
    subject = run_subject(thread_id, run_id, "event")
    news: asyncio.Queue[bytes] = asyncio.Queue()

    async def heard(message: Msg) -> None:
        news.put_nowait(message.data)

    subscription = await client.subscribe(live(subject), cb=heard)
    try:
        seen, position = after, 0
        while True:
            async for stored, data in _stored(client, subject, position, patience=patience):
                position = stored
                event = _next(data, seen)
                if event is not None:
                    seen = event.sequence
                    yield event
                    if _ends(data):
                        return
            # From here on the news go on, as long as none is missing; then the log is read again.
            while True:
                try:
                    data = await asyncio.wait_for(news.get(), SILENCE_SECONDS)
                except TimeoutError:
                    break
                sequence = event_head(data)[1]
                if sequence > seen + 1:
                    break
                event = _next(data, seen)
                if event is not None:
                    seen = event.sequence
                    yield event
                    if _ends(data):
                        return
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()


def _next(data: bytes, seen: int) -> RunEvent | None:
    """The event, unless it was seen. One of a type that this version does not know cannot be given out: there is none such
    within one release, which is how internal services are installed."""
    return None if event_head(data)[1] <= seen else decode_event(data)


def _ends(data: bytes) -> bool:
    return event_head(data)[0] in TERMINAL_TYPES


async def _stored(
    client: Client, subject: str, after: int, *, patience: float
) -> AsyncGenerator[tuple[int, bytes], None]:
    """(stream sequence, data) of what is stored above a stream sequence, as one replica has it."""
    loop = asyncio.get_running_loop()
    position, give_up = after, loop.time() + patience
    while True:
        try:
            found, more = await _batch(client, subject, position)
        except (NatsError, TimeoutError, OSError) as error:
            if loop.time() > give_up:
                raise UnreachableError(
                    f"The log of the run cannot be read: {error or type(error).__name__}."
                ) from error
            await asyncio.sleep(RETRY_SECONDS)
            continue
        give_up = loop.time() + patience
        for position, data in found:
            yield position, data
        if not more:
            return


async def _batch(client: Client, subject: str, after: int) -> tuple[list[tuple[int, bytes]], bool]:
    """One batch, and whether there is more. What was cut short counts as more."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    found: list[tuple[int, bytes]] = []
    try:
        query = {"seq": after + 1, "next_by_subj": subject, "batch": BATCH}
        await client.publish(_GET, msgspec.json.encode(query), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=SILENCE_SECONDS)
            headers = message.headers or {}
            status = headers.get("Status")
            if status == "204":
                return found, headers.get("Nats-Num-Pending", "0") != "0"
            if status == "404":
                return found, False
            if status is not None:
                raise TimeoutError(f"the server answered {status}")
            if int(headers.get("Nats-Last-Sequence", "0")) != (found[-1][0] if found else 0):
                return found, True
            found.append((int(headers["Nats-Sequence"]), message.data))
    finally:
        await subscription.unsubscribe()
