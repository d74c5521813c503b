"""The run log in memory."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from contracts.subjects import run_subject, thread_subjects

from bus.api import Claim, Entry, Holder
from bus.claims import encode_claim, event_message_id, holder_of, snapshot_message_id
from bus.errors import ClaimLostError, ConflictError, FencedError, RevisionConflictError, UnavailableError
from bus.filters import matches
from bus.memory.follow import follow
from bus.memory.stream import MemoryStream, WrongLastSequenceError


class MemoryRunLog:
    """RunLog over a MemoryStream. `released_for` is how long the marker of a released claim stays, in seconds; while
    `reachable` answers False, everything but following raises UnavailableError."""

    def __init__(self, stream: MemoryStream, reachable: Callable[[], bool], *, released_for: float = 600.0) -> None:
        self._all_entries = stream
        self._reachable = reachable
        self._released_for = released_for

    @property
    def _stream(self) -> MemoryStream:
        if not self._reachable():
            raise UnavailableError("the broker is away")
        return self._all_entries

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        last = self._stream.last(run_subject(thread_id, run_id, "claim"))
        return None if last is None else holder_of(last)

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: Holder | None) -> Claim:
        subject = run_subject(thread_id, run_id, "claim")
        attempt = 1 if after is None else after.attempt + 1
        expected = 0 if after is None else after.fence
        try:
            fence, _ = self._stream.append(
                subject,
                encode_claim(worker=worker, attempt=attempt, delivery=delivery),
                expected=(subject, expected),
            )
        except WrongLastSequenceError:
            raise ClaimLostError(f"{run_id}: another worker claimed after {expected}") from None
        return Claim(thread_id=thread_id, run_id=run_id, worker=worker, attempt=attempt, fence=fence)

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        return self._fenced(claim, "event", data, event_message_id(claim, sequence))

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        subject = run_subject(claim.thread_id, claim.run_id, "event")
        messages = [(one, event_message_id(claim, number)) for number, one in enumerate(data, start=sequence)]
        expected = (run_subject(claim.thread_id, claim.run_id, "claim"), claim.fence)
        try:
            place, known = self._stream.append_together(subject, messages, expected=expected)
        except WrongLastSequenceError:
            raise _fenced_error(claim) from None
        last = self._stream.get(place) if known else None
        if last is not None and last.entry.data != data[-1]:
            raise ConflictError(f"{subject}: a number of these events is stored with other bytes")
        return place

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        return self._fenced(claim, "snapshot", data, snapshot_message_id(claim, sequence), rollup=True)

    async def release(self, claim: Claim) -> None:
        self._mark_released(claim)

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        claim = Claim(thread_id=thread_id, run_id=run_id, worker=after.worker, attempt=after.attempt, fence=after.fence)
        try:
            return self._mark_released(claim)
        except FencedError:
            raise ClaimLostError(f"{run_id}: another worker claimed after {after.fence}") from None

    def _mark_released(self, claim: Claim) -> int:
        data = encode_claim(worker=claim.worker, attempt=claim.attempt, delivery="", released=True)
        return self._fenced(claim, "claim", data, None, rollup=True, ttl=self._released_for)

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        subject = run_subject(thread_id, run_id, "command")
        expected = None if after is None else (subject, after)
        try:
            sequence, _ = self._stream.append(subject, data, message_id=message_id, expected=expected)
        except WrongLastSequenceError:
            raise RevisionConflictError(f"{run_id}: another command was stored after {after}") from None
        return sequence

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        for entry in self._stream.after(after, subject_filter):
            yield entry

    async def last(self, subject: str) -> Entry | None:
        entry = self._stream.last(subject)
        if entry is None:
            return None
        return Entry(entry.subject, entry.data, entry.stream_sequence, stored_at=entry.stored_at)

    def follow(
        self, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        return follow(self._all_entries, subject_filter, after)

    async def purge_thread(self, thread_id: str) -> None:
        subject_filter = thread_subjects(thread_id)
        self._stream.remove(lambda stored: matches(subject_filter, stored.entry.subject))

    def _fenced(
        self,
        claim: Claim,
        entry: str,
        data: bytes,
        message_id: str | None,
        *,
        rollup: bool = False,
        ttl: float | None = None,
    ) -> int:
        try:
            sequence, known = self._stream.append(
                run_subject(claim.thread_id, claim.run_id, entry),
                data,
                message_id=message_id,
                expected=(run_subject(claim.thread_id, claim.run_id, "claim"), claim.fence),
                rollup=rollup,
                ttl=ttl,
            )
        except WrongLastSequenceError:
            raise _fenced_error(claim) from None
        if known:
            stored = self._stream.get(sequence)
            if stored is not None and stored.entry.data != data:
                raise ConflictError(f"{message_id} is stored with other bytes")
        return sequence


def _fenced_error(claim: Claim) -> FencedError:
    return FencedError(f"{claim.run_id}: claim {claim.fence} of {claim.worker} is no longer the last")
