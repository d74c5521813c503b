"""One attempt at a run, from attempt.started to the terminal event, or to the hand-over."""

import asyncio
from typing import Any

import structlog
from bus.api import Claim, Done, HandedOver, Outcome, RetryLater
from bus.errors import BusError, FencedError, StreamFullError
from contracts import events as e
from contracts.codes import RunFailure
from contracts.commands import CancelRun
from contracts.parts import SourcePart
from contracts.run_state import RunState
from contracts.subjects import run_subject
from contracts.times import parse_rfc3339, rfc3339

from inference.domain.endings import Completed, Ending, Failed, Stopped
from inference.domain.interruptions import Cancelled, Draining, Expired, Interruption, LogFailed, Replaced
from inference.domain.plan import DEADLINE_SENTENCE, WHOLE_RUN, check_attempt, interrupted_calls, open_calls
from inference.domain.waits import Wait
from inference.handlers.generate_answer import get_input
from inference.handlers.journal import Journal
from inference.handlers.read_log import History
from inference.handlers.running import RunningRun
from inference.handlers.suspend_run import Again, awaited, forget_timer, let_go, write_wait
from inference.handlers.take_model_step import book_interrupted
from inference.handlers.work import Work
from inference.handlers.work_lane import work_lane, work_panel
from inference.handlers.write_log import RunWriter
from inference.ports import Parts, RunGoneError

logger = structlog.get_logger()

LOG_FULL_RETRY = 5.0
"""Seconds until a run is tried again whose end could not be written."""
LOG_FULL_SENTENCE = "The store of running answers is full. What is shown is stored; tell the operator, then ask again."
INTERNAL_SENTENCE = "The answer failed through a fault of this server. What is shown is stored; ask again."
STOPPED_SENTENCE = "The run ended before this call was done."
GONE_SENTENCE = "The conversation was deleted while it was being answered."


class Attempt:
    """One worker's hold on a run."""

    def __init__(
        self,
        parts: Parts,
        run: RunningRun,
        claim: Claim,
        number: int,
        history: History,
        trace_id: str | None = None,
    ) -> None:
        self._parts, self._run, self._claim, self._number, self._history = parts, run, claim, number, history
        self._trace_id = trace_id
        self._command = run.command
        self._journal = Journal(self._new_writer, claim, history.state, history.stream_sequence, parts.max_answer_bytes)
        self._work: Work | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _new_writer(self, stream_sequence: int) -> RunWriter:
        return RunWriter(
            self._parts.log,
            self._claim,
            attempt=self._number,
            state=self._history.state,
            stream_sequence=stream_sequence,
            clock=self._parts.clock,
            on_failure=lambda error: self._run.interrupt(LogFailed(error)),
        )

    async def carry_out(self) -> Outcome | Again:
        """Work until the run ends, waits, or something takes it away; raises BusError where the log takes no more."""
        self._expire_after(self._seconds_left())
        background = [asyncio.create_task(self._journal.writer.run()), asyncio.create_task(self._listen())]
        try:
            ending = await self._until_interrupted()
            return await self._finish(ending)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await _cancel(*background)

    def _expire_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._run.interrupt, Expired())

    def _seconds_left(self, limit_seconds: float | None = None) -> float:
        """Until the run's deadline, or until it has worked for `limit_seconds` where that is sooner. Time in which it waited
        counts for neither."""
        state, now = self._history.state, self._parts.clock.now()
        left = (parse_rfc3339(self._command.deadline_at) - now).total_seconds()
        if limit_seconds is not None:
            began = parse_rfc3339(state.started_at) if state.started_at is not None else now
            left = min(left, limit_seconds - (now - began).total_seconds())
        if state.waiting is not None:
            left += (now - parse_rfc3339(state.waiting.since)).total_seconds()
        return left + state.waited_ms / 1000

    async def _listen(self) -> None:
        """Hear commands while the attempt works; those stored before are in the history."""
        subject, after = (
            run_subject(self._claim.thread_id, self._claim.run_id, "command"),
            self._history.command_sequence,
        )
        while True:
            try:
                async with self._parts.log.follow(subject, after=after) as batches:
                    async for batch in batches:
                        for entry in batch:
                            after = entry.stream_sequence
                            command = self._history.commands.add(entry)
                            if isinstance(command, CancelRun):
                                self._run.interrupt(Cancelled(command.by))
            except Exception as error:  # noqa: BLE001 - a run that nobody can stop any more must keep trying to listen
                logger.warning("commands.unheard", run_id=self._claim.run_id, error=repr(error))
            await asyncio.sleep(0.5)

    async def _until_interrupted(self) -> Ending | Wait | Interruption:
        work = asyncio.create_task(self._carry_on())
        try:
            both: set[asyncio.Future[Any]] = {work, self._run.interruption}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = work.done()
            await _cancel(work)
        why = self._run.interrupted_by
        if isinstance(why, LogFailed | Replaced) or (why is not None and not finished):
            return why
        error = work.exception()
        if isinstance(error, BusError):
            return LogFailed(error)
        if error is not None:
            logger.error("run.broken", run_id=self._claim.run_id, attempt=self._number, exc_info=error)
            return Failed(RunFailure.INTERNAL, INTERNAL_SENTENCE)
        return work.result()

    async def _carry_on(self) -> Ending | Wait:
        history = self._history
        self._begin(history.state)
        if history.cancelled_by is not None:
            return Stopped(history.cancelled_by)
        failed = check_attempt(fruitless=history.fruitless, seconds_left=self._seconds_left())
        if failed is not None:
            return failed
        await self._resume()
        try:
            found = await get_input(self._parts.inputs, self._claim.run_id)
        except RunGoneError:
            return Failed(RunFailure.ORPHANED, GONE_SENTENCE)
        self._work = Work(
            parts=self._parts,
            journal=self._journal,
            command=self._command,
            attempt=self._number,
            input=found,
            agent=self._command.agent or found.agent,
            is_first=history.snapshot_sequence == 0,
            inputs={wait_id: given.value for wait_id, given in history.commands.inputs.items()},
            notes={wait_id: decided.note for wait_id, decided in history.commands.decisions.items()},
            joined=len(history.state.steers),
            cited={part.source_id for part in history.state.message_parts if isinstance(part, SourcePart)},
        )
        config = self._parts.agents.find(self._work.agent)
        if config is not None:
            self._expire_after(self._seconds_left(config.limits.seconds))
        return await self._steps(self._work)

    async def _steps(self, work: Work) -> Ending | Wait:
        root = self._parts.agents.find(work.agent)
        panel = root.panel if root is not None else None
        steers = self._history.commands.steers
        stopped = await work_lane(work, WHOLE_RUN, steers) if panel is None else await work_panel(work, panel, steers)
        return stopped or Completed()

    async def _resume(self) -> None:
        waiting = self._history.state.waiting
        found = awaited(self._history.state, self._history.commands, self._parts.clock.now())
        if waiting is None or found is None:
            return
        self._journal.put(e.RunResumed, reason=found.reason, wait_id=waiting.wait_id, by=found.by)
        await self._journal.stored()
        if found.reason not in ("timer", "expired"):
            await forget_timer(self._parts.timers, self._claim.run_id)

    def _begin(self, state: RunState) -> None:
        if state.sequence == 0:
            self._journal.put(
                e.RunStarted,
                message_id=self._command.message_id,
                model=self._command.model,
                path=self._command.path,
            )
        self._journal.put(
            e.AttemptStarted,
            worker=self._claim.worker,
            published_at=self._run.published_at,
            trace_id=self._trace_id,
        )

    async def _finish(self, ending: Ending | Wait | Interruption) -> Outcome | Again:
        match ending:
            case Wait():
                return await self._suspend(ending)
            case Cancelled(by=by):
                return await self._end(Stopped(by))
            case Expired():
                return await self._end(Failed(RunFailure.DEADLINE, DEADLINE_SENTENCE))
            case Draining():
                await self._journal.stored()
                await self._parts.log.release(self._claim)
                logger.info("run.handed_over", run_id=self._claim.run_id, attempt=self._number)
                return RetryLater(0)
            case Replaced():
                logger.info("run.replaced", run_id=self._claim.run_id, attempt=self._number)
                return HandedOver()
            case LogFailed(error=error):
                return await self._end_on_failed_log(error)
            case _:
                return await self._end(ending)

    async def _suspend(self, wait: Wait) -> Outcome | Again:
        timers = self._parts.timers
        if timers is None:
            raise AssertionError("without timers no tool makes a run wait")
        await write_wait(self._journal, timers, self._command, wait)
        logger.info("run.waiting", run_id=self._claim.run_id, reason=wait.reason, wait_id=wait.wait_id)
        is_due = await let_go(self._parts.log, self._run, self._claim, self._history.state, self._parts.clock.now())
        return Again() if is_due else Done()

    async def _end_on_failed_log(self, error: Exception) -> Outcome:
        if isinstance(error, FencedError) or not isinstance(error, StreamFullError):
            raise error
        # What still waited was refused and is gone; the end itself is small and may fit, or fit by now.
        self._journal.renew()
        writing = asyncio.create_task(self._journal.writer.run())
        try:
            return await self._end(Failed(RunFailure.LOG_FULL, LOG_FULL_SENTENCE))
        except StreamFullError:
            logger.error("log.full", run_id=self._claim.run_id, retry_in=LOG_FULL_RETRY)
            return RetryLater(LOG_FULL_RETRY)
        finally:
            await _cancel(writing)

    async def _end(self, ending: Ending) -> Outcome:
        """Ledger, terminal event, final snapshot, release."""
        await self._ensure_begun()
        await self._book_what_is_open()
        if not isinstance(ending, Completed):
            self._end_calls()
        await self._journal.stored()
        self._put_terminal(ending)
        self._journal.checkpoint()
        await self._journal.stored()
        await self._parts.log.release(self._claim)
        state = self._history.state
        logger.info(
            "run.ended", run_id=self._claim.run_id, attempt=self._number, status=state.status, code=state.error_code
        )
        return Done()

    async def _ensure_begun(self) -> None:
        """An interruption may have come before the first event of the run."""
        await self._journal.stored()
        state = self._history.state
        if state.attempt != self._number:
            self._begin(state)

    async def _book_what_is_open(self) -> None:
        """Model calls that did not come to their end: this attempt's as far as the provider was heard, earlier ones as far as
        the log tells."""
        generations = self._work.generations if self._work is not None else {}
        for found in interrupted_calls(self._history.state):
            generation = generations.get(found.step)
            if found.attempt != self._number:
                await book_interrupted(self._parts, self._journal, self._command, found)
            elif generation is not None and generation.is_billed:
                self._journal.book(
                    step=found.step,
                    of_attempt=self._number,
                    model=generation.call.model.id,
                    usage=generation.usage,
                    cost=generation.cost,
                    agent=found.agent,
                )

    def _end_calls(self) -> None:
        """Tools that were still to be called, or at work, when the run ended: nobody shall wait for them."""
        now = rfc3339(self._parts.clock.now())
        for call in open_calls(self._history.state, WHOLE_RUN):
            self._journal.put(
                e.ToolResult,
                tool_call_id=call.call.tool_call_id,
                name=call.call.name,
                state="error",
                error=STOPPED_SENTENCE,
                failure="stopped",
                ended_at=now,
                agent=call.agent,
            )

    def _put_terminal(self, ending: Ending) -> None:
        state = self._history.state
        totals = {"message_id": state.message_id, "usage": state.usage, "cost_microusd": state.cost_microusd}
        match ending:
            case Completed():
                self._journal.put(e.RunCompleted, **totals)
            case Failed(code=code, sentence=sentence):
                self._journal.put(e.RunFailed, **totals, code=code.value, message=sentence)
            case Stopped(by=by):
                self._journal.put(e.RunCancelled, **totals, by=by)


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
