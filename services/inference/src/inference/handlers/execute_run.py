"""A command to execute a run has been delivered: take the run, bring it to its end, or leave it to who has it."""

from typing import Final

import structlog
from bus.api import Claim, Delivery, Done, HandedOver, Outcome, RetryLater
from bus.errors import BusError, FencedError, StreamFullError
from contracts.commands import ExecuteRun
from contracts.run_state import Snapshot, encode_snapshot

from inference.handlers.carry_out_attempt import Attempt
from inference.handlers.read_log import History, read_history
from inference.handlers.running import RunningRun, RunningRuns
from inference.handlers.shadow_parts import shadow_parts
from inference.handlers.take_run import take_run
from inference.ports import Parts, Peers, Telemetry

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
        mine = self._running.find(command.run_id)
        if mine is not None:
            answer = mine.adopt(delivery.reply, delivery.stream_sequence)
            return Done() if answer == "duplicate" else HandedOver()
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

    async def _execute(self, run: RunningRun) -> Outcome:
        taken = await take_run(self._parts.log, self._peers, run, worker=self._worker)
        if not isinstance(taken, tuple):
            return taken
        claim, was_held = taken
        history = await read_history(self._parts.log, claim)
        state = history.state
        if state.is_terminal:
            return await self._conclude(claim, history)
        number = max(claim.attempt, state.attempt + 1)
        logger.info("run.claimed", run_id=claim.run_id, attempt=number, fence=claim.fence, sequence=state.sequence)
        goes_on = was_held or state.sequence > 0
        with self._telemetry.attempt(run_id=claim.run_id, attempt=number, path=run.command.path, goes_on=goes_on):
            parts = shadow_parts(self._parts) if run.command.shadow_of else self._parts
            return await Attempt(parts, run, claim, number, history).carry_out()

    async def _conclude(self, claim: Claim, history: History) -> Outcome:
        """The run has ended; whoever ended it may have died before the final snapshot."""
        state = history.state
        if history.snapshot_sequence < state.sequence:
            snapshot = Snapshot(state=state, stream_sequence=history.stream_sequence)
            await self._parts.log.snapshot(claim, state.sequence, encode_snapshot(snapshot))
        await self._parts.log.release(claim)
        return Done()
