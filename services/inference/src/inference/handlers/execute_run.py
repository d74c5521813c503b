"""A command to execute a run has been delivered: take the run, bring it to its end, or leave it to who has it."""

from dataclasses import replace
from typing import Final

import structlog
from bus.api import Claim, Delivery, Done, HandedOver, Outcome, RetryLater
from bus.errors import BusError, FencedError, StreamFullError
from contracts.commands import ExecuteRun
from contracts.run_state import Snapshot, encode_snapshot

from inference.domain.broker_time import Sighting
from inference.handlers.broker_clock import clock_by
from inference.handlers.carry_out_attempt import Attempt
from inference.handlers.read_log import History, read_history
from inference.handlers.running import RunningRun, RunningRuns
from inference.handlers.shadow_parts import shadow_parts
from inference.handlers.suspend_run import Again, awaited, let_go
from inference.handlers.take_run import take_run
from inference.ports import Clock, Parts, Peers, Telemetry

logger = structlog.get_logger()

UNAVAILABLE_RETRY: Final = 1.0
FULL_RETRY: Final = 5.0


class RunExecutor:
    """Idempotent: however often a command is delivered, to however many workers, its run is executed once at a time and
    ends once."""

    def __init__(self, parts: Parts, *, worker: str, running: RunningRuns, peers: Peers, telemetry: Telemetry) -> None:
        self._parts, self._worker, self._running = parts, worker, running
        self._peers, self._telemetry = peers, telemetry

    async def execute(self, command: ExecuteRun, delivery: Delivery) -> Outcome:
        """Handle one delivery."""
        while (mine := self._running.find(command.run_id)) is not None:
            if mine.adopt(delivery.reply, delivery.stream_sequence) == "adopted":
                return HandedOver()
            await mine.gone.wait()
        while isinstance(outcome := await self._hold(command, delivery), Again):
            logger.info("run.resumed_at_once", run_id=command.run_id)
        return outcome

    async def _hold(self, command: ExecuteRun, delivery: Delivery) -> Outcome | Again:
        run = self._running.start(command, delivery)
        try:
            return await self._execute(run)
        except FencedError:
            logger.info("run.fenced", run_id=command.run_id)
            return HandedOver()
        except StreamFullError:
            logger.error("log.full", run_id=command.run_id, retry_in=FULL_RETRY)
            return RetryLater(FULL_RETRY)
        except BusError as error:
            logger.warning("log.unavailable", run_id=command.run_id, error=str(error), retry_in=UNAVAILABLE_RETRY)
            return RetryLater(UNAVAILABLE_RETRY)
        finally:
            self._running.end(run)

    async def _execute(self, run: RunningRun) -> Outcome | Again:
        clock = self._parts.clock
        taken = await take_run(self._parts.log, self._peers, run, worker=self._worker, clock=clock)
        if not isinstance(taken, tuple):
            return taken
        claim, was_held = taken
        history = await read_history(self._parts.log, claim)
        state = history.state
        parts = replace(self._parts, clock=_clock_of(run, history, clock))
        if state.is_terminal:
            return await self._conclude(claim, history)
        if state.waiting is not None and self._waits_on(history, parts.clock):
            await self._complete_snapshot(claim, history)
            is_due = await let_go(self._parts.log, run, claim, state, parts.clock.now())
            return Again() if is_due else Done()
        number = max(claim.attempt, state.attempt + 1)
        logger.info("run.claimed", run_id=claim.run_id, attempt=number, fence=claim.fence, sequence=state.sequence)
        goes_on = was_held or state.sequence > 0
        with self._telemetry.attempt(
            run_id=claim.run_id,
            attempt=number,
            path=run.command.path,
            goes_on=goes_on,
            resumes=state.waiting is not None,
        ) as trace_id:
            parts = shadow_parts(parts) if run.command.shadow_of else parts
            return await Attempt(parts, run, claim, number, history, trace_id).carry_out()

    def _waits_on(self, history: History, clock: Clock) -> bool:
        found = awaited(history.state, history.commands, clock.now())
        return found is None and history.cancelled_by is None

    async def _conclude(self, claim: Claim, history: History) -> Outcome:
        await self._complete_snapshot(claim, history)
        await self._parts.log.release(claim)
        return Done()

    async def _complete_snapshot(self, claim: Claim, history: History) -> None:
        """Of a run that has ended, or waits: whoever wrote that may have died before its snapshot."""
        state = history.state
        if history.snapshot_sequence < state.sequence:
            snapshot = Snapshot(state=state, stream_sequence=history.stream_sequence)
            await self._parts.log.snapshot(claim, state.sequence, encode_snapshot(snapshot))


def _clock_of(run: RunningRun, history: History, clock: Clock) -> Clock:
    """The one by which this attempt goes: as the broker's, in which the attempts before it wrote."""
    claimed = run.claimed
    if claimed is None:
        return clock
    seen = Sighting(stored_at=history.claimed_at, confirmed=claimed.at, took=claimed.took)
    return clock_by(clock, seen, claimed.monotonic)
