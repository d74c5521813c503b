"""The bus as services see it: shapes and obligations. `bus.jetstream` is the real one, `bus.memory` its twin; one
conformance suite (tests/conformance) holds both to this page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import msgspec
from contracts.topology import Consumer


class Entry(msgspec.Struct, frozen=True):
    """One stored entry of a stream. `previous` is the stream sequence of the entry before it on the same subject, 0 if none
    and None where it is not known (read from the past rather than live). `stored_at` is when the broker stored it, in seconds
    since 1970 by its clock, the one clock that all who read it share; 0 where it is not known (heard live)."""

    subject: str
    data: bytes
    stream_sequence: int
    previous: int | None = None
    stored_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The last claim of a run: who holds it, since which stream sequence (`fence`), as which attempt, and the reply subject
    of the delivery it works on (`delivery`: whoever knows it may nak it for a dead worker)."""

    worker: str
    attempt: int
    fence: int
    delivery: str
    released: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """This worker's hold on a run. Every append names `fence`; the broker rejects it once a newer claim is stored."""

    thread_id: str
    run_id: str
    worker: str
    attempt: int
    fence: int


MOST_TOGETHER: Final = 1000
"""The broker's limit for one atomic batch (ADR-50 of nats-architecture-and-design)."""


class RunLog(Protocol):
    """The log of runs on the stream RUNS. One append of a run is in flight at a time; that is the caller's obligation."""

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        """The last claim, or None where the run was never claimed (or its released claim has expired)."""

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: Holder | None) -> Claim:
        """Take the run by compare-and-set on the claim seen as `after`. Raises ClaimLostError, UnavailableError."""

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        """Store an event and return its stream sequence. Retries with the same message id for up to 30 s, so that an entry
        is stored once whatever was lost on the way. Raises FencedError, StreamFullError, UnavailableError."""

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        """Store events, numbered from `sequence` on, all of them or none, whatever dies; returns the stream sequence of the
        last. One to MOST_TOGETHER events. Retries and raises as append."""

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        """Replace the run's snapshot (rollup), fenced like an event. Raises as append."""

    async def release(self, claim: Claim) -> None:
        """Mark the claim as released; the marker expires by itself. Fences the caller out as well. Raises as append."""

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        """Write the mark of a released claim once more, by compare-and-set on the one seen as `after`; returns its stream
        sequence. Whoever reads the log up to there sees all that was ever done to the run, and has held nothing meanwhile
        that could be left behind. Raises ClaimLostError, UnavailableError, StreamFullError."""

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        """Store a command for a run, unfenced, durable when this returns; the same message_id is stored once (2 min).
        With `after` only where the run's last command is the one at that stream sequence (0: none yet), else
        RevisionConflictError: of two who answer the same question one wins. Raises StreamFullError, UnavailableError."""

    def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        """The stored entries with a stream sequence above `after`, in order, up to the end as of the call. By direct get:
        no consumer is made."""

    async def last(self, subject: str) -> Entry | None:
        """The last stored entry of one subject."""

    def follow(
        self, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        """Attach: every entry above `after`, past and future, in order, none missing, none twice. Yields what has arrived as
        one batch. Live entries come from the republished subject (stored, then shown); a gap (reconnect, slow consumer) is
        filled by direct get before anything after it is yielded. Ends only when the context is left."""

    async def purge_thread(self, thread_id: str) -> None:
        """Delete everything of a thread from RUNS. Idempotent."""


@dataclass(frozen=True, slots=True)
class Done:
    """Handled: acknowledge (awaits the server's confirmation)."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not now: redeliver after `delay` seconds."""

    delay: float = 1.0


@dataclass(frozen=True, slots=True)
class Poison:
    """Never: move to the dead letters with the reason, then terminate the delivery."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Another worker beats for this delivery and will acknowledge it: do neither."""


Outcome = Done | RetryLater | Poison | HandedOver


@dataclass(slots=True)
class Delivery:
    """One delivery of a durable consumer. `reply` is where it is acknowledged; `adopt` replaces it when the same item is
    delivered again and this worker keeps working on it. `others` are deliveries of other items that ask for the same work, by
    stream sequence. `stored_at` is when the broker stored the item, in seconds since 1970; 0 where it is not known."""

    subject: str
    data: bytes
    stream_sequence: int
    delivered: int
    reply: str
    headers: Mapping[str, str] = field(default_factory=dict)
    stored_at: float = 0.0
    others: dict[int, str] = field(default_factory=dict)

    def adopt(self, reply: str, stream_sequence: int | None = None) -> None:
        """From now on beat for, and settle, this newer delivery of the same item; or, where `stream_sequence` says that it is
        another item, this one as well: it is settled as this one is, and not before."""
        if stream_sequence is None or stream_sequence == self.stream_sequence:
            self.reply = reply
        else:
            self.others[stream_sequence] = reply

    @property
    def replies(self) -> list[str]:
        """Where to beat for, and to settle, all that this delivery stands for."""
        return [self.reply, *self.others.values()]


Subscriber = Callable[[Delivery], Awaitable[Outcome]]


class Bus(Protocol):
    """One connection to the broker."""

    @property
    def run_log(self) -> RunLog:
        """The run log over this connection."""

    @property
    def name(self) -> str:
        """The connection's name, as death notices carry it: instance name, a dash, a ULID."""

    async def publish(
        self, subject: str, data: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> int:
        """Store a message once per message_id within the duplicate window; retries up to 30 s. Returns the stream sequence.
        Injects the current trace context into the headers. Raises StreamFullError, UnavailableError."""

    async def schedule(self, timer: str, *, at: datetime, target: str, data: bytes) -> None:
        """Have the broker publish `data` to `target` at `at`, though every process be gone by then; at once where that has
        passed. Replaces what `timer` held. Both are subjects of TIMERS (subjects.timer_subject, due_subject); it may fire
        a moment late, and once more after this call was repeated. Raises StreamFullError, UnavailableError."""

    async def unschedule(self, timer: str) -> None:
        """Forget a timer. Idempotent; one that has fired stays delivered. Raises UnavailableError."""

    async def consume(self, consumer: Consumer, subscriber: Subscriber, *, concurrency: int) -> None:
        """Hand deliveries to `subscriber`, at most `concurrency` at once, until cancelled or `stop_consuming`. While a
        subscriber runs, in_progress beats go out every third of ack_wait. An exception counts as RetryLater with the
        consumer's backoff and is logged; it never terminates a delivery. The subscriber runs under the trace of its message."""

    def stop_consuming(self) -> None:
        """Fetch nothing new; what is being handled goes on."""

    async def nak(self, reply: str) -> None:
        """Give a dead worker's delivery back to the broker, which redelivers it at once. Harmless if it is settled."""

    async def request(self, subject: str, data: bytes, *, timeout: float) -> bytes | None:
        """Ask a core subject; None when nobody listens or nobody answers in time."""

    async def tell(self, subject: str, data: bytes) -> None:
        """Send on a core subject, to whoever listens now: nothing is stored, and nobody says whether it was heard. Raises
        UnavailableError."""

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer requests on a core subject."""

    async def on_disconnect(
        self, heard: Callable[[str], Awaitable[None]], *, doubtful: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """Call `heard` with the name of every client whose connection the server lost (death notices). With `doubtful`, that
        is called instead where the client may well live and be connecting again: the server ended the connection, nothing
        was ever sent on it, or this process has just reconnected itself. Does nothing where the server gives no notices;
        redelivery after ack_wait remains."""

    def follow_stream(
        self, stream: str, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        """`RunLog.follow` for any republished stream, such as FEEDS."""

    def read_stream(self, stream: str, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        """`RunLog.read` for any stream: what is stored above `after`, in order, up to the end as of the call."""

    async def last_of(self, stream: str, subject_filter: str) -> Entry | None:
        """`RunLog.last` for any republished stream, such as FEEDS."""

    async def values_of(self, stream: str, subject_filter: str) -> Sequence[Entry]:
        """The entries of a bucket that the filter covers, as some replica knows them, like `last_of`: one request where
        `read_stream` asks the leader first, which also writes a notice of it. Raises UnavailableError."""

    def watch_live(self, subject_filter: str, heard: Callable[[Entry], None]) -> AbstractAsyncContextManager[None]:
        """Live entries only, best effort, no past and no gap filling: for claims of other workers and for commands, whose
        past is read apart."""

    @property
    def connected(self) -> bool:
        """The connection stands now."""

    async def drain(self) -> None:
        """Finish what is in flight and close."""
