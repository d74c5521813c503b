"""One stream in memory: sequences, limits, message ids, compare-and-set, rollup, expiry, republish."""

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.topology import Stream

from bus.api import Entry
from bus.errors import StreamFullError
from bus.filters import matches


class WrongLastSequenceError(Exception):
    """The compare of a compare-and-set failed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry with what the broker keeps beside it. `expires_at` is monotonic seconds."""

    entry: Entry
    headers: Mapping[str, str]
    expires_at: float | None = None


@dataclass(slots=True)
class MemoryStream:
    """Entries by sequence, oldest first. `heard` is called with every stored entry, as the republished subject would be.
    `clock` is the broker's, in seconds since 1970."""

    config: Stream
    clock: Callable[[], float] = time.time
    entries: dict[int, Stored] = field(default_factory=dict)
    last_sequence: int = 0
    size: int = 0
    message_ids: dict[str, int] = field(default_factory=dict)
    heard: dict[Callable[[Entry], None], str] = field(default_factory=dict)
    stored: list[Callable[[Stored], None]] = field(default_factory=list)

    def append(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        expected: tuple[str, int] | None = None,
        rollup: bool = False,
        ttl: float | None = None,
    ) -> tuple[int, bool]:
        """Store, in the server's order of checks; returns the sequence and whether the message id was known."""
        self._expire()
        if expected is not None and self._last_on(expected[0]) != expected[1]:
            raise WrongLastSequenceError
        if message_id is not None and message_id in self.message_ids:
            return self.message_ids[message_id], True
        self._check_room(len(data) + len(subject))
        previous = self._last_on(subject)
        self.last_sequence += 1
        entry = Entry(subject, data, self.last_sequence, previous, self.clock())
        if rollup:
            self.remove(lambda stored: stored.entry.subject == subject)
        expires_at = None if ttl is None else time.monotonic() + ttl
        stored = Stored(entry, dict(headers or {}), expires_at)
        self.entries[self.last_sequence] = stored
        self.size += len(data) + len(subject)
        if message_id is not None:
            self.message_ids[message_id] = self.last_sequence
        self._keep_within_limits(subject)
        if self.config.republish:
            for heard, subject_filter in list(self.heard.items()):
                if matches(subject_filter, subject):
                    heard(entry)
        for notify in self.stored:
            notify(stored)
        return self.last_sequence, False

    def append_together(
        self, subject: str, messages: Sequence[tuple[bytes, str]], *, expected: tuple[str, int]
    ) -> tuple[int, bool]:
        """Store entries with their message ids, all or none; returns the last one's sequence and whether an id was known."""
        self._expire()
        if self._last_on(expected[0]) != expected[1]:
            raise WrongLastSequenceError
        if any(message_id in self.message_ids for _, message_id in messages):
            return self._last_on(subject), True
        self._check_room(sum(len(data) + len(subject) for data, _ in messages))
        for data, message_id in messages:
            sequence, _ = self.append(subject, data, message_id=message_id)
        return sequence, False

    def get(self, sequence: int) -> Stored | None:
        """The entry at a sequence, if it is still there."""
        self._expire()
        return self.entries.get(sequence)

    def last(self, subject_filter: str) -> Entry | None:
        """The last entry that the filter covers."""
        self._expire()
        for sequence in reversed(self.entries):
            if matches(subject_filter, self.entries[sequence].entry.subject):
                return self.entries[sequence].entry
        return None

    def after(self, sequence: int, subject_filter: str) -> list[Entry]:
        """The entries above a sequence that the filter covers, as read from the past."""
        self._expire()
        sequences = list(self.entries)
        found = (self.entries[number].entry for number in sequences[bisect_right(sequences, sequence) :])
        return [
            Entry(entry.subject, entry.data, entry.stream_sequence, stored_at=entry.stored_at)
            for entry in found
            if matches(subject_filter, entry.subject)
        ]

    def remove(self, unwanted: Callable[[Stored], bool]) -> None:
        """Delete what `unwanted` says."""
        for sequence in [sequence for sequence, stored in self.entries.items() if unwanted(stored)]:
            gone = self.entries.pop(sequence).entry
            self.size -= len(gone.data) + len(gone.subject)

    def _check_room(self, size: int) -> None:
        limit = self.config.max_bytes
        if self.config.discard == "new" and 0 < limit < self.size + size:
            raise StreamFullError(f"{self.config.name} is full: it holds its limit of {limit} bytes")

    def _last_on(self, subject: str) -> int:
        for sequence in reversed(self.entries):
            if self.entries[sequence].entry.subject == subject:
                return sequence
        return 0

    def _expire(self) -> None:
        now = time.monotonic()
        if any(stored.expires_at is not None for stored in self.entries.values()):
            self.remove(lambda stored: stored.expires_at is not None and stored.expires_at <= now)

    def _keep_within_limits(self, subject: str) -> None:
        if self.config.max_msgs_per_subject > 0:
            of_subject = [n for n, stored in self.entries.items() if stored.entry.subject == subject]
            excess = set(of_subject[: -self.config.max_msgs_per_subject])
            if excess:
                self.remove(lambda stored: stored.entry.stream_sequence in excess)
        while self.config.discard == "old" and 0 < self.config.max_bytes < self.size:
            oldest = next(iter(self.entries))
            self.remove(lambda stored, oldest=oldest: stored.entry.stream_sequence == oldest)  # type: ignore[misc]
