"""The runs that this worker executes now, each with the delivery it works on and the way to interrupt it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from bus.api import Delivery
from contracts.commands import ExecuteRun
from contracts.times import rfc3339

from inference.domain.adoption import AdoptAnswer
from inference.domain.interruptions import Interruption


@dataclass(frozen=True, slots=True)
class Claimed:
    """When a claim was confirmed, by this machine's time of day and by its monotonic clock, and how many seconds that took."""

    at: datetime
    monotonic: float
    took: float


class RunningRun:
    """One run in this process. `fence` is its claim's, 0 before it has one; `claimed` says when it was made."""

    def __init__(self, command: ExecuteRun, delivery: Delivery) -> None:
        self.command = command
        self.delivery = delivery
        self.fence = 0
        self.claimed: Claimed | None = None
        self.gone = asyncio.Event()
        """Set once this worker no longer executes it."""
        self._is_leaving = False
        self._interruption: asyncio.Future[Interruption] = asyncio.get_running_loop().create_future()

    def interrupt(self, why: Interruption) -> None:
        """End the attempt; only the first reason counts."""
        if not self._interruption.done():
            self._interruption.set_result(why)

    @property
    def interruption(self) -> "asyncio.Future[Interruption]":
        """Done once somebody interrupted. Never cancel it."""
        return self._interruption

    @property
    def interrupted_by(self) -> Interruption | None:
        """Why, or None."""
        return self._interruption.result() if self._interruption.done() else None

    @property
    def published_at(self) -> str | None:
        """When the broker got the command; None where it does not say."""
        stored_at = self.delivery.stored_at
        return rfc3339(datetime.fromtimestamp(stored_at, UTC)) if stored_at else None

    def adopt(self, reply: str, stream_sequence: int) -> AdoptAnswer:
        """Go on with a newer delivery of the same item, or with another item as well; see AdoptAnswer."""
        if self._is_leaving:
            return "no"
        self.delivery.adopt(reply, stream_sequence)
        return "adopted"

    def leave(self) -> None:
        """From now on whoever asks is told that this worker does not execute the run: it is about to let go of it, and may
        have looked for commands for the last time."""
        self._is_leaving = True


class RunningRuns:
    """By run id."""

    def __init__(self) -> None:
        self._runs: dict[str, RunningRun] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._leaving: Interruption | None = None

    def start(self, command: ExecuteRun, delivery: Delivery) -> RunningRun:
        """Register a run before it is claimed, so that whoever sees the claim finds it here."""
        run = self._runs[command.run_id] = RunningRun(command, delivery)
        self._empty.clear()
        if self._leaving is not None:
            run.interrupt(self._leaving)
        return run

    def interrupt_all(self, why: Interruption) -> None:
        """Interrupt every run, and every run that still starts: its delivery may have been on its way."""
        self._leaving = why
        for run in self._runs.values():
            run.interrupt(why)

    def end(self, run: RunningRun) -> None:
        """This worker no longer executes it."""
        run.gone.set()
        if self._runs.get(run.command.run_id) is run:
            del self._runs[run.command.run_id]
        if not self._runs:
            self._empty.set()

    def find(self, run_id: str) -> RunningRun | None:
        """The run, if it is executed here."""
        return self._runs.get(run_id)

    def __len__(self) -> int:
        return len(self._runs)

    async def wait_empty(self) -> None:
        """Return when nothing runs."""
        await self._empty.wait()
