"""The run log on the stream RUNS: claims by compare-and-set, appends fenced by the claim."""

import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from contracts import topology
from contracts.subjects import run_subject, thread_subjects
from runtime import metrics, telemetry
from runtime.names import Metric
from ulid import ULID

from bus.api import Claim, Entry, Holder
from bus.claims import encode_claim, event_message_id, holder_of, snapshot_message_id
from bus.errors import ClaimLostError, ConflictError, FencedError, RevisionConflictError, UnavailableError
from bus.jetstream.api_calls import call_api
from bus.jetstream.connection import Connection
from bus.jetstream.direct_get import Reader
from bus.jetstream.followers import Followers
from bus.jetstream.requests import Requests
from bus.jetstream.storing import KnownMessageError, Receipt, WrongLastSequenceError, store, store_together
from bus.tracing import note_snapshot

STREAM: Final = topology.RUNS.name
MESSAGE_ID: Final = "Nats-Msg-Id"
EXPECTED_SEQUENCE: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
ROLLUP: Final = {"Nats-Rollup": "sub"}
KINDS: Final = ("event", "snapshot", "claim", "release", "command")
RELEASED_FOR: Final = 600
LOOKS: Final = 5


class JetStreamRunLog:
    """RunLog over one connection."""

    def __init__(self, connection: Connection, requests: Requests, reader: Reader, followers: Followers) -> None:
        self._connection = connection
        self._requests = requests
        self._reader = reader
        self._followers = followers
        # Looked up once: a busy worker appends thousands of times a second.
        self._appended = {kind: metrics.counter(Metric.APPENDS, kind=kind) for kind in KINDS}
        self._seconds = metrics.histogram(Metric.APPEND_SECONDS)

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        last = await self._reader.last(STREAM, run_subject(thread_id, run_id, "claim"))
        return None if last is None else holder_of(last)

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: Holder | None) -> Claim:
        attempt = 1 if after is None else after.attempt + 1
        expected = 0 if after is None else after.fence
        message_id = f"{run_id}:claim:{ULID()}"
        try:
            fence = await self._write_after(
                run_subject(thread_id, run_id, "claim"),
                encode_claim(worker=worker, attempt=attempt, delivery=delivery),
                {MESSAGE_ID: message_id, EXPECTED_SEQUENCE: str(expected)},
            )
        except _SupersededError:
            raise ClaimLostError(f"{run_id}: another worker claimed after {expected}") from None
        self._appended["claim"].inc()
        return Claim(thread_id=thread_id, run_id=run_id, worker=worker, attempt=attempt, fence=fence)

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._fenced(claim, "event", data, event_message_id(claim, sequence), {})

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        subject = run_subject(claim.thread_id, claim.run_id, "event")
        messages = [
            (one, _fence(claim, event_message_id(claim, number))) for number, one in enumerate(data, start=sequence)
        ]
        began = time.perf_counter()
        try:
            receipt = await self._unless_fenced(
                claim, subject, lambda: store_together(self._connection, self._requests, subject, messages)
            )
            place = receipt.stream_sequence
        except KnownMessageError:
            place = await self._place_of(claim, subject, data[-1])
        self._appended["event"].inc(len(data))
        self._seconds.observe(time.perf_counter() - began)
        return place

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        # Snapshots are what conversation records, so the trace goes on there; events are too many to carry it.
        headers = telemetry.inject(dict(ROLLUP))
        place = await self._fenced(claim, "snapshot", data, snapshot_message_id(claim, sequence), headers)
        note_snapshot(sequence, len(data))
        return place

    async def release(self, claim: Claim) -> None:
        try:
            await self._mark_released(claim)
        except _SupersededError:
            raise _fenced_error(claim) from None

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        claim = Claim(thread_id=thread_id, run_id=run_id, worker=after.worker, attempt=after.attempt, fence=after.fence)
        try:
            return await self._mark_released(claim)
        except _SupersededError:
            raise ClaimLostError(f"{run_id}: another worker claimed after {after.fence}") from None

    async def _mark_released(self, claim: Claim) -> int:
        headers = {
            MESSAGE_ID: f"{claim.run_id}:{claim.fence}:release",
            EXPECTED_SEQUENCE: str(claim.fence),
            "Nats-TTL": f"{RELEASED_FOR}s",
            **ROLLUP,
        }
        data = encode_claim(worker=claim.worker, attempt=claim.attempt, delivery="", released=True)
        place = await self._write_after(run_subject(claim.thread_id, claim.run_id, "claim"), data, headers)
        self._appended["release"].inc()
        return place

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        subject = run_subject(thread_id, run_id, "command")
        headers = {MESSAGE_ID: message_id, **telemetry.inject({})}
        if after is None:
            receipt = await store(self._connection, self._requests, subject, data, headers)
            place = receipt.stream_sequence
        else:
            try:
                place = await self._write_after(subject, data, {**headers, EXPECTED_SEQUENCE: str(after)})
            except _SupersededError:
                raise RevisionConflictError(f"{run_id}: another command was stored after {after}") from None
        self._appended["command"].inc()
        return place

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        async for entries in self._reader.read(STREAM, subject_filter, after):
            for entry in entries:
                yield entry

    async def last(self, subject: str) -> Entry | None:
        return await self._reader.last(STREAM, subject)

    def follow(
        self, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        return self._followers.follow(STREAM, subject_filter, after)

    async def purge_thread(self, thread_id: str) -> None:
        await call_api(self._requests, f"STREAM.PURGE.{STREAM}", {"filter": thread_subjects(thread_id)})

    async def _fenced(self, claim: Claim, entry: str, data: bytes, message_id: str, more: Mapping[str, str]) -> int:
        subject = run_subject(claim.thread_id, claim.run_id, entry)
        headers = {**_fence(claim, message_id), **more}
        began = time.perf_counter()
        receipt = await self._unless_fenced(
            claim, subject, lambda: store(self._connection, self._requests, subject, data, headers)
        )
        if receipt.duplicate and receipt.first_try:
            await self._check_same(receipt.stream_sequence, data, message_id)
        self._appended[entry].inc()
        self._seconds.observe(time.perf_counter() - began)
        return receipt.stream_sequence

    async def _unless_fenced(self, claim: Claim, subject: str, send: Callable[[], Awaitable[Receipt]]) -> Receipt:
        for _ in range(LOOKS):
            try:
                return await send()
            except WrongLastSequenceError:
                if not await self._is_held(claim):
                    raise _fenced_error(claim) from None
        raise UnavailableError(f"{subject}: refused {LOOKS} times although claim {claim.fence} is the last")

    async def _is_held(self, claim: Claim) -> bool:
        subject = run_subject(claim.thread_id, claim.run_id, "claim")
        return await self._reader.newest_sequence(STREAM, subject) == claim.fence

    async def _place_of(self, claim: Claim, subject: str, data: bytes) -> int:
        """Where a batch is that was stored before: only its writer's claim lets anybody write there, so at the end."""
        last = await self._reader.last(STREAM, subject)
        if last is not None and last.data == data:
            return last.stream_sequence
        if not await self._is_held(claim):
            raise _fenced_error(claim)
        raise ConflictError(f"{subject}: a number of these events is stored with other bytes")

    async def _write_after(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Store an entry by compare-and-set on its own subject; a refused re-send may meet its own first try, told by the message id."""
        for _ in range(LOOKS):
            try:
                receipt = await store(self._connection, self._requests, subject, data, headers)
            except WrongLastSequenceError as error:
                newest = await self._reader.newest(STREAM, {"last_by_subj": subject})
                sequence = 0 if newest is None else int(newest["seq"])
                if sequence == int(headers[EXPECTED_SEQUENCE]):
                    continue
                if newest is not None and not error.first_try and _message_id(newest) == headers[MESSAGE_ID]:
                    return sequence
                raise _SupersededError from None
            return receipt.stream_sequence
        raise UnavailableError(f"{subject}: refused {LOOKS} times although nobody else wrote")

    async def _check_same(self, stream_sequence: int, data: bytes, message_id: str) -> None:
        stored = await self._reader.at(STREAM, stream_sequence)
        if stored is not None and stored.data != data:
            raise ConflictError(f"{message_id} is stored with other bytes")


class _SupersededError(Exception):
    """Somebody else's entry is the last."""


def _fence(claim: Claim, message_id: str) -> dict[str, str]:
    """The headers of an entry that is stored once, and only while the claim is the last."""
    return {
        MESSAGE_ID: message_id,
        EXPECTED_SEQUENCE: str(claim.fence),
        EXPECTED_SUBJECT: run_subject(claim.thread_id, claim.run_id, "claim"),
    }


def _fenced_error(claim: Claim) -> FencedError:
    metrics.add(Metric.FENCED)
    return FencedError(f"{claim.run_id}: claim {claim.fence} of {claim.worker} is no longer the last")


def _message_id(message: Mapping[str, Any]) -> str:
    for line in b64decode(message.get("hdrs", "")).decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name == MESSAGE_ID:
            return value.strip()
    return ""
