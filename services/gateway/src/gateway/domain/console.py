"""What the console shows: runs of all users, processes, what stands still."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.processes import KINDS, Heartbeat
from contracts.topology import CONSUMERS, DEAD

TEST_TITLE: Final = "Test event"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs; empty: any."""

    status: str = ""
    path: str = ""
    model: str = ""
    user_id: str = ""
    agent: str = ""
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun:
    """A run of whomever, without anything that a message says. `ended_at` is empty while it runs."""

    id: str
    thread_id: str
    user_id: str
    status: str
    path: str
    model: str
    agent: str
    created_at: str
    ended_at: str
    attempts: int
    cost_microusd: int | None
    error_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """Open runs, those that ended within an hour, and rows of the outbox."""

    pending: int
    generating: int
    waiting: int
    ended_last_hour: int
    failed_last_hour: int
    outbox: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that could not be handled."""

    sequence: int
    consumer: str
    stream: str
    subject: str
    reason: str
    delivered: int
    at: str


def consumers_of(kind: str) -> list[str]:
    """The consumers that processes of a kind take from."""
    mover = [DEAD.name] if kind == "notifier" else []
    return [consumer.name for consumer in CONSUMERS if consumer.name.startswith(f"{kind}-")] + mover


def warnings_of(processes: Sequence[Heartbeat], pending: Mapping[str, int]) -> list[str]:
    """A sentence for each kind of process of which none is heard though it has queues. `pending` is by consumer."""
    there = {process.kind for process in processes}
    found = []
    for kind in KINDS:
        consumers = consumers_of(kind)
        if consumers and kind not in there:
            waiting = sum(pending.get(name, 0) for name in consumers)
            items = "1 item waits" if waiting == 1 else f"{waiting} items wait"
            found.append(f"No {kind} process is heard: nobody takes from {', '.join(consumers)}; {items}.")
    return found
