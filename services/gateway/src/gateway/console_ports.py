"""What the console's calls need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bus.looking import ConsumerLevel, StreamLevel
from contracts.processes import Heartbeat
from contracts.topology import Consumer, Stream

from gateway.domain.console import DeadLetter, ListedRun, RunCounts, RunFilter
from gateway.domain.records import Message, Run


class AnyRuns(Protocol):
    """Where a run is found: for one user, or for an administrator."""

    async def get_run(self, user_id: str, run_id: str, *, commanding: bool = False) -> tuple[Run, Message | None]:
        """See ports.Conversation."""


class Operations(AnyRuns, Protocol):
    """Conversation for administrators: `get_run` finds anybody's, without its answer. Every call raises Refusal."""

    async def list_runs(self, which: RunFilter, *, cursor: str, limit: int) -> tuple[Sequence[ListedRun], str]:
        """The newest first, and the next page's cursor, empty on the last."""

    async def count_runs(self) -> RunCounts:
        """As of now."""

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """The newest first."""

    async def retry_dead_letter(self, sequence: int) -> None:
        """Publish it again where it came from, and take it away."""


class Processes(Protocol):
    """Who runs."""

    async def all(self) -> Sequence[Heartbeat]:
        """Those that were heard lately, by kind and name. Raises UnavailableError."""


class Levels(Protocol):
    """How full streams are, and how far consumers. `bus.looking.Looking` is one. Raises UnavailableError."""

    async def stream_level(self, stream: Stream) -> StreamLevel | None:
        """None where there is no such stream."""

    async def consumer_level(self, consumer: Consumer) -> ConsumerLevel | None:
        """None where there is no such consumer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Everything that the console's calls are built on."""

    operations: Operations
    processes: Processes
    levels: Levels
