"""What the handlers need from outside. `adapters` has the real ones, the unit tests their own.

Any of them may raise store.errors.StoreUnavailableError or bus.errors.UnavailableError; handlers let those pass.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from contracts.registry import Registry
from contracts.run_state import RunState

from conversation.domain.acceptance import Acceptance, Opening, Remembered, Timing
from conversation.domain.appending import Appended
from conversation.domain.context import Asked
from conversation.domain.deletion import Deletion
from conversation.domain.entities import Message, Outgoing, Preferences, Run, Thread, User, Watched
from conversation.domain.limits import Limits
from conversation.domain.pages import ThreadKey
from conversation.domain.schedules import Schedule
from conversation.domain.shadows import Shadow
from conversation.list_ports import Calendar, Lists

T = TypeVar("T")


class Writes(Lists, Protocol):
    """One transaction: it sees a snapshot, and all of it is stored or nothing."""

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        """The thread, if the user is in it."""

    async def opening(self, user_id: str, thread_id: str, key: str) -> Opening | None:
        """What an acceptance begins with, if the user is in the thread, in one command. An empty key was never accepted."""

    async def any_thread(self, thread_id: str) -> Thread | None:
        """The thread, whoever is in it."""

    async def user(self, user_id: str) -> User | None:
        """The user, if seen before."""

    async def message(self, thread_id: str, message_id: str) -> Message | None:
        """A message of a thread."""

    async def appended_behind(self, thread_id: str, last: Message | None) -> Sequence[Appended]:
        """What internal services appended to a thread later than a message (None: ever), wherever in it, and the answers to
        that and to this message, if a service asked it. One read, however much it is."""

    async def run(self, run_id: str) -> Run | None:
        """A run, whoever owns it."""

    async def add_message(self, message: Message) -> None:
        """Store one more message."""

    async def add_messages(self, messages: Sequence[Message]) -> None:
        """Store more messages."""

    async def add_schedule(self, schedule: Schedule) -> None:
        """Store a new schedule."""

    async def advance_schedule(self, schedule: Schedule, changed: Schedule) -> bool:
        """Store what became of a time of a schedule, unless somebody else did so or changed it meanwhile, or it is gone."""

    async def change_schedule(self, schedule: Schedule, changed: Schedule) -> None:
        """Store what somebody changed of a schedule that this transaction has read. Two at once, of which one may be a time of it
        that comes, collide."""

    async def delete_schedule(self, thread_id: str, schedule_id: str) -> bool:
        """Whether there was such a schedule of the thread."""

    async def change_message(self, message_id: str, changes: Mapping[str, Any]) -> None:
        """Store new values of some fields of a message."""

    async def change_run(self, run_id: str, changes: Mapping[str, Any]) -> None:
        """Store new values of some fields of a run, unless it has ended."""

    async def add_steer(self, run_id: str, message_id: str) -> None:
        """Note that a message shall join a run, unless that has ended."""

    async def remember(self, user_id: str, key: str, remembered: Remembered, now: datetime) -> None:
        """Keep what an idempotency key was accepted for."""

    async def remembered(self, user_id: str, key: str) -> Remembered | None:
        """What an idempotency key was accepted for before."""

    async def add_user(self, user: User) -> None:
        """Store a user not seen before."""

    async def add_thread(self, thread: Thread) -> None:
        """Store a new thread."""

    async def change_thread(self, thread: Thread, changes: Mapping[str, Any]) -> None:
        """Store new values of some fields of a thread, and its `updated_at`."""

    async def open_run_ids(self, thread_id: str) -> tuple[str, ...]:
        """The thread's runs that have not ended."""

    async def schedule_ids(self, thread_id: str) -> tuple[str, ...]:
        """The thread's schedules."""

    async def shadow_ids(self, thread_id: str) -> tuple[str, ...]:
        """The shadow runs of the thread's runs whose log is still there."""

    async def bury(self, thread: Thread, deletion: Deletion) -> None:
        """Delete a thread with as much as fits into a transaction, and write down what is left to do. The ledger stays: what
        was spent was spent."""

    async def accept(self, acceptance: Acceptance, key: str) -> None:
        """Store an accepted message."""

    async def end_run(self, state: RunState, ended_at: datetime) -> Run | None:
        """Store a run's end: message, run and ledger. Returns the run as it was; None, having stored nothing, where the run is
        unknown or has ended already."""

    async def add_shadow(self, shadow: Shadow) -> None:
        """Store a new shadow run."""

    async def revive_run(self, run: Run, *, check_at: datetime) -> bool:
        """Count a revival, unless somebody else did so meanwhile or the run has ended."""

    def say(self, outgoing: Outgoing) -> None:
        """Have this published if, and only if, the transaction commits."""


class Shadows(Protocol):
    """Shadow runs: figures, no text."""

    async def find(self, run_id: str) -> Shadow | None:
        """One of them."""

    async def newest(self, since: datetime, limit: int) -> Sequence[Shadow]:
        """The newest that were begun since then."""

    async def served(self, run_ids: Sequence[str]) -> Sequence[Run]:
        """The runs that they repeat, as far as there are any left."""

    async def count_checkpoint(self, state: RunState) -> None:
        """Count what would have been shown of a run on its way, once per checkpoint."""

    async def end(
        self, state: RunState, ended_at: datetime, *, similarity: float, equal: bool, clear_at: datetime
    ) -> bool:
        """Store its end; False, having stored nothing, where it has ended already."""

    async def to_clear(self, now: datetime) -> Sequence[Shadow]:
        """Some whose log is to go."""

    async def cleared(self, run_id: str) -> None:
        """Its log is gone."""


class Records(Lists, Protocol):
    """What conversation keeps."""

    @property
    def shadows(self) -> Shadows:
        """Shadow runs."""

    async def transaction(self, body: Callable[[Writes], Awaitable[T]]) -> T:
        """Run `body` as one transaction; it may run several times and what it raises rolls back."""

    async def thread(self, user_id: str, thread_id: str) -> Thread | None:
        """The thread, if the user is in it."""

    async def threads(
        self, user_id: str, *, archived: bool | None, after: ThreadKey | None, limit: int
    ) -> Sequence[Thread]:
        """The threads that the user is in, pinned ones first, then the one updated last; `archived` None is all."""

    async def messages(self, thread_id: str, *, after: int, limit: int) -> Sequence[Message]:
        """A thread's messages with a position above `after`, in order."""

    def messages_before(self, thread_id: str, position: int) -> AsyncGenerator[Message, None]:
        """A thread's messages with a lower position, newest first, read as far as the caller goes."""

    async def message(self, message_id: str) -> Message | None:
        """One message."""

    async def run(self, run_id: str) -> Run | None:
        """One run, whoever owns it."""

    async def watched(self, user_id: str, run_id: str) -> Watched | None:
        """A run with its thread and its answer, in one command, if the user is in the thread."""

    async def asked(self, run_id: str) -> Asked | None:
        """A run with what it was asked and by whom, in one command."""

    async def user(self, user_id: str) -> User | None:
        """The user, if seen before."""

    async def ensure_user(self, user: User) -> User:
        """The user as stored; stored now if not seen before."""

    async def change_preferences(self, user: User, changes: Mapping[str, str]) -> Preferences:
        """Store some preferences of a user, who is stored too if not seen before; returns all of them."""

    async def show_progress(self, state: RunState) -> None:
        """Let the message show a running answer, unless it shows a later one or has ended. At most one write."""

    async def unheard_runs(self, now: datetime, limit: int) -> Sequence[Run]:
        """Open runs whose `check_at` has passed, the longest waiting first."""

    async def newest_runs(self, path: str, since: datetime, limit: int) -> Sequence[Run]:
        """The newest runs of a path that were accepted since then, whoever owns them."""

    async def operations(self, message_ids: Sequence[str]) -> Mapping[str, int]:
        """How many commands the database got to accept, to show and to record each answer, by its message's id."""

    async def note_departure(self, run_id: str, at: datetime) -> str | None:
        """Store when nobody watched a run any more; returns its path, None where that was known or the run is unknown."""

    async def check_run_again(self, run: Run, check_at: datetime) -> None:
        """Move a run's `check_at`."""


class Broker(Protocol):
    """What goes to the broker without the outbox, and what is asked of it."""

    async def say(self, outgoing: Outgoing) -> None:
        """Publish; returns once it is stored. The same message id is stored once."""

    async def forget_log(self, thread_id: str) -> None:
        """Delete all run logs of a thread. Idempotent."""

    async def is_command_waiting(self, run_id: str) -> bool:
        """The command to execute the run is still in the work queue: waiting, or in somebody's hands."""

    async def state_of(self, run: Run) -> RunState:
        """The fold of a run's log as it is now."""

    async def is_commanded(self, run: Run) -> bool:
        """A command is stored behind the run's last event, so that no step has taken it into account."""

    async def fail_run(self, run: Run, *, code: str, sentence: str, now: datetime) -> None:
        """End a run that nobody executes: claim it, write its terminal event and final snapshot into its log. Does nothing
        more than writing the missing snapshot where the log has a terminal event already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a handler may use. `now` gives the time in UTC, whole milliseconds; `new_id` an id for a prefix."""

    records: Records
    broker: Broker
    calendar: Calendar
    registry: Registry
    limits: Limits
    timing: Timing
    now: Callable[[], datetime]
    new_id: Callable[[str], str]
