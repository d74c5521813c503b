"""What the end of threads needs from outside: deletions carried out to their end, and threads that are kept no longer.

`adapters.mongo_graves` and `adapters.bus_eraser` are the real ones. Any of it may raise StoreUnavailableError or BusError.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from conversation.domain.deletion import Deletion
from conversation.domain.entities import Outgoing, Thread

T = TypeVar("T")


class Burial(Protocol):
    """What a transaction that deletes a thread does."""

    async def open_run_ids(self, thread_id: str) -> tuple[str, ...]:
        """The thread's runs that have not ended."""

    async def schedule_ids(self, thread_id: str) -> tuple[str, ...]:
        """The thread's schedules."""

    async def shadow_ids(self, thread_id: str) -> tuple[str, ...]:
        """The shadow runs of the thread's runs whose log is still there."""

    async def bury(self, thread: Thread, deletion: Deletion) -> None:
        """Delete the thread with as much as fits into a transaction, and write down what is left to do."""

    def say(self, outgoing: Outgoing) -> None:
        """Have this published if, and only if, the transaction commits."""


class BurialWrites(Burial, Protocol):
    """One transaction that deletes a thread by itself."""

    async def any_thread(self, thread_id: str) -> Thread | None:
        """The thread, whoever is in it."""


class Graves(Protocol):
    """Deletions that are not finished, and what they delete in the database."""

    async def transaction(self, body: Callable[[BurialWrites], Awaitable[T]]) -> T:
        """Run `body` as one transaction; it may run several times and what it raises rolls back."""

    async def due(self, now: datetime, limit: int) -> Sequence[Deletion]:
        """Deletions that are to be carried on, the longest waiting first."""

    async def take(self, deletion: Deletion, until: datetime) -> bool:
        """Keep the others from it until then; False where somebody else has taken it."""

    async def clear(self, deletion: Deletion) -> int:
        """Delete a bounded piece of what the database has of the thread; returns how many documents, 0 at the end."""

    async def put_back(self, deletion: Deletion) -> None:
        """Store how far it is."""

    async def finish(self, deletion: Deletion) -> None:
        """Forget it: nothing of the thread is left."""

    async def threads_after(self, thread_id: str, limit: int) -> Sequence[Thread]:
        """Threads by id, from the one behind that id on; of every user."""


class Eraser(Protocol):
    """The broker's side of a deletion."""

    async def erase(self, deletion: Deletion) -> int:
        """Delete everything of the thread from every stream and bucket, but the fact that it was deleted. Returns how many
        entries there were. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeParts:
    """Everything that the handlers of the end of threads may use. `settle` is the time between the two passes of a deletion;
    `kept` says how long threads of each kind are kept after their last message, for ever where it does not."""

    graves: Graves
    eraser: Eraser
    settle: timedelta
    now: Callable[[], datetime]
    new_id: Callable[[str], str]
    kept: dict[str, timedelta] = field(default_factory=dict)
