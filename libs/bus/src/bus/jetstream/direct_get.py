"""Read a stream by direct get: no consumer, any replica answers, in batches that bound memory."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bus.api import Entry
from bus.errors import BusError, UnavailableError
from bus.jetstream import api_calls
from bus.jetstream.api_calls import ApiError, call_api
from bus.jetstream.client import NO_STATUS, Message, server_header
from bus.jetstream.connection import Connection
from bus.jetstream.requests import NoAnswerError, Requests

BATCH: Final = 1024
BATCH_BYTES: Final = 4 * 1024 * 1024
SILENCE: Final = 3.0
BUDGET: Final = 30.0
# What the server puts behind a stored message's own headers (ADR-31 of nats-architecture-and-design).
SUBJECT: Final = b"\r\nNats-Subject: "
SEQUENCE: Final = b"\r\nNats-Sequence: "
LAST_SEQUENCE: Final = b"\r\nNats-Last-Sequence: "
TIME_STAMP: Final = b"\r\nNats-Time-Stamp: "


@dataclass(slots=True)
class Batch:
    """What one batch request brought. `complete` is False where the answer was cut: the entries are good all the same.
    `pending` is how many more there are behind a complete one."""

    entries: list[Entry] = field(default_factory=list)
    complete: bool = False
    pending: int = 0

    @property
    def position(self) -> int:
        """The stream sequence read up to, 0 before the first entry."""
        return self.entries[-1].stream_sequence if self.entries else 0


class Reader:
    """Reads one connection's streams."""

    def __init__(self, connection: Connection, requests: Requests) -> None:
        self._connection = connection
        self._requests = requests

    async def last(self, stream: str, subject_filter: str) -> Entry | None:
        """The last entry that the filter covers, as some replica knows it. Raises UnavailableError."""
        message = await self.last_message(stream, subject_filter)
        return None if message is None else entry_of(message)

    async def last_message(self, stream: str, subject_filter: str) -> Message | None:
        """The same with its headers."""
        return await self._get_one(stream, {"last_by_subj": subject_filter})

    async def at(self, stream: str, sequence: int) -> Message | None:
        """The entry at a stream sequence, or None where it is gone."""
        return await self._get_one(stream, {"seq": sequence})

    async def following(self, stream: str, subject_filter: str, sequence: int) -> Message | None:
        """The first entry above a stream sequence that the filter covers, or None where there is none."""
        return await self._get_one(stream, {"seq": sequence + 1, "next_by_subj": subject_filter})

    async def newest_sequence(self, stream: str, subject_filter: str) -> int:
        """The stream sequence of the last entry that the filter covers, as the leader knows it; 0 where there is none."""
        message = await self.newest(stream, {"last_by_subj": subject_filter})
        return 0 if message is None else int(message["seq"])

    async def newest(self, stream: str, query: dict[str, Any]) -> dict[str, Any] | None:
        """A stored message as the leader knows it: `subject`, `seq`, base64 `hdrs` and `data`; None where there is none."""
        trouble: Exception | None = None
        for wait in _waits():
            try:
                answer = await call_api(self._requests, f"STREAM.MSG.GET.{stream}", query)
            except ApiError as error:
                if error.code in (api_calls.MESSAGE_NOT_FOUND, api_calls.NO_MESSAGE_AT_SEQUENCE):
                    return None
                raise
            except UnavailableError as error:
                trouble = error
                await self._pause(wait)
            else:
                message: dict[str, Any] = answer["message"]
                return message
        raise UnavailableError(f"{stream}: no answer to a read: {trouble}")

    async def batches(
        self, stream: str, subject_filter: str, after: int, *, until: int, batch: int = BATCH
    ) -> AsyncGenerator[list[Entry], None]:
        """Entries above `after`, until one at or above `until` was read or nothing up to there is left (purged). Replicas
        that lag are asked again. Raises UnavailableError after 30 s without progress."""
        position = after
        waits = _waits()
        while position < until:
            query = {"seq": position + 1, "next_by_subj": subject_filter, "batch": batch, "max_bytes": BATCH_BYTES}
            found = await self._batch(stream, query)
            if found.entries:
                position = found.entries[-1].stream_sequence
                waits = _waits()
                yield found.entries
                continue
            if found.complete and await self.newest_sequence(stream, subject_filter) <= position:
                return
            wait = next(waits, None)
            if wait is None:
                raise UnavailableError(
                    f"{stream}: entries up to {until} exist, but no replica gives what is after {position}"
                )
            await self._pause(wait)

    async def read(self, stream: str, subject_filter: str, after: int) -> AsyncGenerator[list[Entry], None]:
        """Entries above `after`, up to the end as of this call."""
        until = await self.newest_sequence(stream, subject_filter)
        async for entries in self.batches(stream, subject_filter, after, until=until):
            yield [entry for entry in entries if entry.stream_sequence <= until]

    async def known(self, stream: str, subject_filter: str) -> list[Entry]:
        """Everything that the filter covers, as some replica knows it: nobody asks the leader where the end is. Raises
        UnavailableError after 30 s without progress."""
        known: list[Entry] = []
        waits = _waits()
        while True:
            position = known[-1].stream_sequence if known else 0
            query = {"seq": position + 1, "next_by_subj": subject_filter, "batch": BATCH, "max_bytes": BATCH_BYTES}
            found = await self._batch(stream, query)
            known += found.entries
            if found.complete and not found.pending:
                return known
            if found.entries:
                waits = _waits()
                continue
            wait = next(waits, None)
            if wait is None:
                raise UnavailableError(f"{stream}: no answer to a read")
            await self._pause(wait)

    async def last_sequences(self, stream: str, subjects: Sequence[str]) -> dict[str, int]:
        """The stream sequence of the last entry of each of at most a thousand subjects, as some replica knows it."""
        found = await self._batch(stream, {"multi_last": list(subjects), "batch": len(subjects)})
        return {entry.subject: entry.stream_sequence for entry in found.entries}

    async def _batch(self, stream: str, query: dict[str, Any]) -> Batch:
        loop = asyncio.get_running_loop()
        result = Batch()
        ended: asyncio.Future[bool] = loop.create_future()
        heard_at = loop.time()

        def heard(message: Message | None) -> None:
            nonlocal heard_at
            heard_at = loop.time()
            if ended.done():
                return
            if message is None:
                ended.set_result(False)
                return
            block = message.raw_headers
            if block.startswith(NO_STATUS):
                # Each answer names the one before it, so one that was dropped on the way ends the batch here.
                if int(server_header(block, LAST_SEQUENCE) or 0) == result.position:
                    result.entries.append(entry_of(message))
                else:
                    ended.set_result(False)
                return
            headers = message.headers or {}
            status = headers.get("Status")
            if status == "204" and int(headers.get("Nats-Last-Sequence", "0")) != result.position:
                ended.set_result(False)
            else:
                # 204 ends a batch, 404 says that there is nothing; anything else (503, 408) is worth another try.
                result.pending = int(headers.get("Nats-Num-Pending", "0"))
                ended.set_result(status in ("204", "404"))

        reply = self._requests.collect(heard)
        try:
            await self._requests.send(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=reply)
            while not ended.done():
                await asyncio.wait((ended,), timeout=SILENCE)
                if not ended.done() and loop.time() - heard_at >= SILENCE:
                    return result
            result.complete = ended.result()
        except NoAnswerError:
            pass
        finally:
            self._requests.stop_collecting(reply)
        return result

    async def _get_one(self, stream: str, query: dict[str, Any]) -> Message | None:
        trouble = ""
        for wait in _waits():
            try:
                message = await self._requests.ask(
                    f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), timeout=SILENCE
                )
            except NoAnswerError as error:
                trouble = str(error)
            else:
                headers = message.headers or {}
                status = headers.get("Status")
                if status is None and "Nats-Sequence" in headers:
                    return message
                if status == "404":
                    return None
                trouble = headers.get("Description", f"status {status}")
                if status is not None and status.startswith("4") and status != "408":
                    raise BusError(f"{stream}: the server refuses the read: {trouble}")
            await self._pause(wait)
        raise UnavailableError(f"{stream}: no answer to a read: {trouble}")

    async def _pause(self, wait: float) -> None:
        if await self._connection.until_connected(BUDGET / 2):
            await asyncio.sleep(wait)


def entry_of(message: Message) -> Entry:
    """An entry read by direct get."""
    block = message.raw_headers
    subject, sequence = server_header(block, SUBJECT), server_header(block, SEQUENCE)
    if subject is None or sequence is None:
        raise BusError(f"no stored message: {block[:200]!r}")
    stored_at = _seconds((server_header(block, TIME_STAMP) or b"").decode())
    return Entry(subject.decode(), message.data, int(sequence), stored_at=stored_at or 0.0)


def stored_at_of(headers: Mapping[str, str]) -> float | None:
    """When the server stored an entry, in seconds since 1970; None where it does not say."""
    return _seconds(headers.get("Nats-Time-Stamp", ""))


def _seconds(time: str) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def _waits() -> Iterator[float]:
    """Waits between tries, full jitter, until 30 s have passed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BUDGET
    tries = 0
    while loop.time() < deadline:
        yield random.uniform(0, min(1.0, 0.02 * 2.0**tries))  # noqa: S311  # no secret
        tries = min(tries + 1, 10)
