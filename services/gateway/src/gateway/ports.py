"""What the handlers need from outside. Adapters implement it; tests have twins."""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bus.api import Entry, Holder
from bus.errors import BusError, UnavailableError
from contracts.client_tools import ClientTools
from contracts.parts import ToolCallPart
from contracts.run_state import RunState

from gateway.domain.comparison import RunResult
from gateway.domain.documents import Document, DocumentPage
from gateway.domain.guard import Broken, GuardState
from gateway.domain.identity import Principal
from gateway.domain.path_flag import Definition, PathContext, PathDecision
from gateway.domain.protocols.frame import FramePlace, Mapping, ResumableMapping
from gateway.domain.records import (
    PLAIN,
    Accepted,
    Earlier,
    Message,
    Preferences,
    Run,
    SendOptions,
    Thread,
    ThreadChange,
    User,
)

__all__ = ["Authenticator", "BusError", "Conversation", "Entry", "LogReader", "LogViewer", "Page", "Viewer", "Viewers"]


class NotSentError(UnavailableError):
    """The broker could not be reached at all, so a command is certainly not stored."""


class LogReader(Protocol):
    """What the gateway does with the run log, as bus.api.RunLog has it: it reads and appends commands, and never claims."""

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        """The last claim. Raises UnavailableError."""

    async def last(self, subject: str) -> Entry | None:
        """The last stored entry of one subject. Raises UnavailableError."""

    def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        """The stored entries above `after`, in order. Raises UnavailableError."""

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        """Store a command, durable when this returns. Raises StreamFullError, RevisionConflictError (nothing was stored),
        NotSentError (neither), UnavailableError (it may be stored; the same again is stored once)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages or threads; `next_cursor` is empty on the last one."""

    threads: Sequence[Thread]
    messages: Sequence[Message]
    next_cursor: str


class IdentityProvider(Protocol):
    """The provider that the page signs people in at."""

    async def origins(self) -> tuple[str, ...]:
        """Where a page may ask it, as a browser writes it: the issuer's origin first. Never raises, and waits for seconds at most."""


class Documents(Protocol):
    """Documents that answers rest on. Every call raises Refusal."""

    async def create(
        self, user_id: str, document_id: str, *, corpus: str, title: str, media_type: str, url: str, data: bytes
    ) -> Document:
        """Store a document and have it read; idempotent where `document_id` is not empty."""

    async def get(self, corpus: str, document_id: str) -> Document:
        """A document of the corpus."""

    async def of(self, corpus: str, *, cursor: str, limit: int) -> DocumentPage:
        """Newest first."""

    async def delete(self, corpus: str, document_id: str) -> None:
        """Idempotent."""


class Conversation(Protocol):
    """Threads, messages and runs for one user. Every call raises Refusal: not found for what the user is no member of,
    forbidden for what their role does not allow, unavailable where nobody answers in time (a write may then have happened or not)."""

    async def create_thread(
        self,
        user_id: str,
        *,
        title: str,
        model: str,
        tags: Sequence[str],
        kind: str = "",
        agent: str = "",
        on_busy: str = "",
        idempotency_key: str = "",
    ) -> Thread:
        """A new thread. Idempotent by key."""

    async def get_thread(self, user_id: str, thread_id: str) -> Thread:
        """The thread, if it is the user's."""

    async def list_threads(self, user_id: str, *, archived: bool | None, cursor: str, limit: int) -> Page:
        """Newest first."""

    async def update_thread(self, user_id: str, thread_id: str, change: ThreadChange) -> Thread:
        """Change what is given."""

    async def delete_thread(self, user_id: str, thread_id: str) -> None:
        """Delete it with all its messages."""

    async def accept_message(
        self,
        user_id: str,
        thread_id: str,
        *,
        content: str,
        model: str,
        path: str,
        idempotency_key: str,
        body_hash: bytes,
        parent_message_id: str,
        options: SendOptions = PLAIN,
    ) -> Accepted:
        """Store message, pending answer and run in one transaction. Idempotent by key."""

    async def list_messages(
        self, user_id: str, thread_id: str, *, cursor: str, limit: int, branch: str = "", from_end: bool = False
    ) -> Page:
        """Oldest first; with `branch` only those along it; `from_end`, without a cursor: the last page."""

    async def get_run(self, user_id: str, run_id: str, *, commanding: bool = False) -> tuple[Run, Message | None]:
        """The run, and its stored answer once it has ended. `commanding`: the caller is about to stop, steer or answer it, which
        is refused for viewers."""

    async def get_user(self, user_id: str) -> User:
        """The user, created when first seen."""

    async def look_up_user(self, user_id: str) -> User | None:
        """The user, if seen before."""

    async def update_preferences(
        self, user_id: str, *, system_prompt: str | None, default_model: str | None, path: str | None = None
    ) -> Preferences:
        """Change what is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """A message from a client that has a thread and a history of its own, oldest first: with one, or with `from_root`, a new branch
    begins, unless there is a parent for it to stand behind. `client` is opaque and found again with the run. `roles` are the
    author's. `results` come instead of the content: what became of calls that the answer before left to the client; with
    `results_once` the same again are accepted as what they were, others refused. `tools` are the client's own."""

    content: str
    model: str = ""
    path: str = "durable_event"
    idempotency_key: str = ""
    body_hash: bytes = b""
    parent_message_id: str = ""
    from_root: bool = False
    history: Sequence[Earlier] = ()
    client: str = ""
    roles: tuple[str, ...] = ()
    results: tuple[ToolCallPart, ...] = ()
    results_once: bool = False
    tools: ClientTools | None = None
    context: str = ""
    """What the model shall know for this run alone; it is no message of the thread."""


class ClientThreads(Protocol):
    """What the doors of other protocols ask of conversation, beside `Conversation`; raises like it."""

    async def open_thread(self, user_id: str, thread_id: str, *, tags: Sequence[str]) -> Thread:
        """The user's thread with that id, made now if there is none."""

    async def accept(self, user_id: str, thread_id: str, message: ClientMessage) -> Accepted:
        """Store message, history, pending answer and run in one transaction. Idempotent by key."""

    async def last_messages(self, user_id: str, thread_id: str, *, limit: int) -> Sequence[Message]:
        """The newest messages, oldest first."""

    async def leading_to(self, user_id: str, thread_id: str, message_id: str, *, limit: int) -> Sequence[Message]:
        """The last messages on the way from the thread's beginning to this one, which is the last of them."""

    async def page_behind(
        self, user_id: str, thread_id: str, message_id: str, *, cursor: str, limit: int
    ) -> tuple[Sequence[Message], str]:
        """Messages that came later than this one, oldest first, and the cursor of the next page; without one this is the last."""


class FrameViewer(Protocol):
    """One viewer of a run in one client protocol. Used by one task; `wake` may be called by anybody."""

    @property
    def ended(self) -> bool:
        """The last frame of the response was taken."""

    @property
    def total(self) -> int:
        """How many frames the response has so far, taken or not."""

    @property
    def taken(self) -> int:
        """How many of them are behind this viewer: taken, or left out by the place it began at."""

    @property
    def state(self) -> RunState:
        """The run as of the last event that was mapped. Not to be changed."""

    @property
    def mapping(self) -> Mapping:
        """The mapping, as of the same event."""

    async def take(self) -> bytes:
        """The next frames, joined; waits for them. Empty when woken without any."""

    def wake(self) -> None:
        """Make a waiting `take` return."""

    async def close(self) -> None:
        """Leave. Must be called."""


class RunFeeds(Protocol):
    """Runs in client protocols: each event is mapped once per run and protocol, for all viewers."""

    async def counted(
        self, run: Run, message: Message | None, protocol: Hashable, make: Callable[[], Mapping], place: FramePlace
    ) -> FrameViewer:
        """Exactly the frames from a place on. `make` gives a fresh mapping for `protocol` where nobody watches it yet."""

    async def resumed(
        self, run: Run, message: Message | None, protocol: Hashable, make: Callable[[], ResumableMapping]
    ) -> FrameViewer:
        """The run as it is now, in few frames, then its tail."""


class Authenticator(Protocol):
    """Turns a token into a caller."""

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller named by an Authorization header; raises Refusal."""


class Viewer(Protocol):
    """One viewer's place in a stream. Used by one task; `wake` may be called by anybody."""

    @property
    def cursor(self) -> str:
        """The id of the last frame taken; empty before the first."""

    @property
    def ended(self) -> bool:
        """The last frame there will ever be was taken."""

    async def take(self) -> bytes:
        """The next frames, joined, at most one bounded piece; waits for them. Empty when woken without any."""

    def wake(self) -> None:
        """Make a waiting `take` return."""

    async def close(self) -> None:
        """Leave. Must be called."""


class LogViewer(Viewer, Protocol):
    """A viewer of the run log, before which its past can be looked at."""

    async def peek(self) -> Entry | None:
        """The first stored entry that `take` would give, or None where none is stored yet."""

    def skip(self) -> None:
        """Leave out the entry that `peek` gave: the viewer has seen it."""

    def leave_out(self, run_ids: frozenset[str]) -> None:
        """Give nothing stored of these runs: their log is not whole."""


class Viewers(Protocol):
    """Gives viewers. All viewers of one filter share one follower of the log."""

    def of_log(self, subject_filter: str, *, after: int, until_terminal: bool) -> LogViewer:
        """Events in RUNS above the stream sequence `after`; with `until_terminal`, up to the first terminal one."""

    def first_shown(self, run_id: str) -> float | None:
        """When the first text of a run was handed to a viewer of this gateway, in seconds since 1970; None where it was not,
        or long ago."""

    async def of_feed(self, user_id: str, *, after: int | None) -> Viewer:
        """The user's feed above `after`, or from now on where it is None (settled before this returns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagState:
    """The flag `path` as this gateway knows it. `revision` is the newest in the bucket, 0 where there is none; `in_force` the
    one that decides, 0 for the built-in definition; `refused` says why they differ."""

    definition: Definition
    revision: int
    in_force: int
    refused: str


class TicketStore(Protocol):
    """Tickets that all gateways know, by the digest of their secret."""

    async def put(self, digest: str, principal: Principal, until: float) -> None:
        """Keep a new one until a Unix time. Raises UnavailableError."""

    async def take(self, digest: str, now: float) -> Principal | None:
        """Use it up; None where there is none, where it is used, or too old. Of several at once, one gets it. Raises
        UnavailableError."""


class PathFlag(Protocol):
    """Decides which path answers. Never blocks; whatever is wrong with the flag, there is a decision."""

    @property
    def reads(self) -> frozenset[str]:
        """The names of the context that decisions look at now: the others need not be found out."""

    def decide(self, context: PathContext) -> PathDecision:
        """The decision for one message; without a user it is legacy_sync."""


class Flags(PathFlag, Protocol):
    """The definition behind the flag, for administrators and the guard."""

    @property
    def state(self) -> FlagState:
        """What is in force here and now."""

    async def publish(self, definition: Definition, *, expected: int) -> int:
        """Put a definition in force at every gateway, unless the bucket has moved on from `expected`; returns its revision.
        Raises DefinitionError, RevisionConflictError (nothing was stored), UnavailableError (it may be stored)."""

    async def history(self, limit: int, *, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """The newest revisions first, those above `after`, each with who changed it, when, why, how and to which share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file of the page. `encoded` holds it compressed, best coding first."""

    body: bytes
    media_type: str
    etag: str
    encoded: dict[str, bytes]


class PageFiles(Protocol):
    """The built page."""

    def find(self, name: str) -> PageFile | None:
        """The file of that name (`assets/page-x.js`); None where there is none, or the page is not built yet."""


class SessionKey(Protocol):
    """What development sessions are signed with."""

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with these claims that this gateway accepts."""


class DemoWorkers(Protocol):
    """The workers of a demonstration on this machine."""

    def kill(self, instance: str) -> int | None:
        """Kill the worker with that instance name at once; its process id, or None where it is not known."""


class RunResults(Protocol):
    """How runs went, whoever owns them. For the guard and for administrators."""

    async def list_run_results(
        self, *, since: datetime, limit: int, with_operations: bool = False
    ) -> Sequence[RunResult]:
        """The newest runs accepted since then, at most `limit` of each path; their database operations cost one more look-up.
        Raises Refusal."""


class RolloutStore(Protocol):
    """What the gateways share about the rollout."""

    async def load(self) -> tuple[GuardState, int]:
        """The guard's state and its revision; a fresh one and 0 where there is none. Raises UnavailableError."""

    async def save(self, state: GuardState, *, expected: int) -> int:
        """Replace it; returns its revision. Raises RevisionConflictError, UnavailableError."""

    async def broken(self) -> Broken:
        """What viewers of all gateways were shown out of order or twice, ever."""
