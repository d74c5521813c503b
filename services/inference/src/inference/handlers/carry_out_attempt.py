"""One attempt at a run, from attempt.started to the terminal event, or to the hand-over."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from bus.api import Claim, Done, HandedOver, Outcome, RetryLater, RunLog
from bus.errors import BusError, FencedError, StreamFullError
from contracts import events as e
from contracts.codes import RunFailure
from contracts.registry import Model, Registry, cost_microusd
from contracts.run_state import RunState
from contracts.subjects import run_subject
from contracts.times import parse_rfc3339
from contracts.usage import Usage

from inference.domain.endings import Completed, Ending, Failed, Stopped, ending_of
from inference.domain.interruptions import Cancelled, Draining, Expired, Interruption, LogFailed, Replaced
from inference.domain.plan import (
    DEADLINE_SENTENCE,
    Cancel,
    Fail,
    Generate,
    Interrupted,
    plan_attempt,
)
from inference.domain.retry import RetryPolicy
from inference.domain.upstream_errors import UpstreamError
from inference.handlers.generate_answer import Answer, Generation, generate, get_input, input_tokens_of
from inference.handlers.read_log import History, decode_command
from inference.handlers.running import RunningRun
from inference.handlers.write_log import RunWriter
from inference.ports import Clock, InputMessage, Models, RunGoneError, RunInputs

logger = structlog.get_logger()

LOG_FULL_RETRY = 5.0
"""Seconds until a run is tried again whose end could not be written."""
LATE_INPUT_SECONDS = 2.0
"""How long a run that ends at once waits for its context, which is needed only to estimate an interrupted call's input."""
LOG_FULL_SENTENCE = "The store of running answers is full. What is shown is stored; tell the operator, then ask again."
INTERNAL_SENTENCE = "The answer failed through a fault of this server. What is shown is stored; ask again."
GONE_SENTENCE = "The conversation was deleted while it was being answered."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every attempt works with."""

    log: RunLog
    inputs: RunInputs
    models: Models
    registry: Registry
    clock: Clock
    retry: RetryPolicy
    max_answer_bytes: int


class Attempt:
    """One worker's hold on a run."""

    def __init__(self, parts: Parts, run: RunningRun, claim: Claim, number: int, history: History) -> None:
        self._parts, self._run, self._claim, self._number, self._history = parts, run, claim, number, history
        self._command = run.command
        self._writer = self._new_writer(history.stream_sequence)
        self._generation: Generation | None = None
        self._unbooked: Interrupted | None = None

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

    async def carry_out(self) -> Outcome:
        """Work until the run ends or something takes it away; raises BusError where the log takes no more."""
        deadline = parse_rfc3339(self._command.deadline_at)
        timer = asyncio.get_running_loop().call_later(
            max(0.0, self._seconds_to(deadline)), self._run.interrupt, Expired()
        )
        background = [asyncio.create_task(self._writer.run()), asyncio.create_task(self._listen())]
        try:
            ending = await self._work_until_interrupted(self._seconds_to(deadline))
            return await self._finish(ending)
        finally:
            timer.cancel()
            await _cancel(*background)

    def _seconds_to(self, moment: datetime) -> float:
        return (moment - self._parts.clock.now()).total_seconds()

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
                            command = decode_command(entry)
                            if command is not None:
                                self._run.interrupt(Cancelled(command.by))
            except Exception as error:  # noqa: BLE001 - a run that nobody can stop any more must keep trying to listen
                logger.warning("commands.unheard", run_id=self._claim.run_id, error=repr(error))
            await asyncio.sleep(0.5)

    async def _work_until_interrupted(self, seconds_left: float) -> Ending | Interruption:
        work = asyncio.create_task(self._work(seconds_left))
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

    async def _work(self, seconds_left: float) -> Ending:
        state = self._history.state
        model = self._parts.registry.find(self._command.model)
        plan = plan_attempt(
            state,
            continuation=model.continuation if model is not None else "retract",
            cancelled_by=self._history.cancelled_by,
            fruitless=self._history.fruitless,
            seconds_left=seconds_left,
        )
        self._begin(state)
        match plan:
            case Cancel(by=by, interrupted=interrupted):
                self._unbooked = interrupted
                return Stopped(by)
            case Fail(code=code, sentence=sentence, interrupted=interrupted):
                self._unbooked = interrupted
                return Failed(code, sentence)
            case Generate() if model is None:
                self._unbooked = plan.interrupted
                return Failed(RunFailure.MODEL_UNKNOWN, f"The model {self._command.model} is not offered any more.")
            case Generate() if model is not None:
                self._unbooked = plan.interrupted
                return await self._generate(plan, model)
        return Completed(None)

    def _begin(self, state: RunState) -> None:
        if state.sequence == 0:
            self._put(
                e.RunStarted,
                message_id=self._command.message_id,
                model=self._command.model,
                path=self._command.path,
            )
        self._put(e.AttemptStarted, worker=self._claim.worker, published_at=self._run.published_at)

    def _put(self, event_type: type[e.RunEvent], /, **fields: object) -> None:
        head = {"thread_id": self._claim.thread_id, "run_id": self._claim.run_id}
        self._writer.event(event_type(**head, **fields, sequence=0, attempt=0, at=""))  # type: ignore[arg-type]  # checked by tests

    async def _generate(self, plan: Generate, model: Model) -> Ending:
        try:
            messages = await get_input(self._parts.inputs, self._claim.run_id)
        except RunGoneError:
            return Failed(RunFailure.ORPHANED, GONE_SENTENCE)
        self._book_interrupted(messages)
        if plan.retract_from is not None:
            self._put(e.TextRetracted, from_sequence=plan.retract_from)
        try:
            return await self._call(plan, model, messages, is_first=self._history.snapshot_sequence == 0)
        except UpstreamError as error:
            refused_prefix = error.code is RunFailure.UPSTREAM_REJECTED and plan.prefix is not None
            if not refused_prefix or self._generation is None or self._generation.answer.has_shown:
                return Failed(error.code, error.sentence)
        # The provider does not go on from a prefix after all: take the text back and ask for all of it.
        await self._writer.stored()
        state = self._history.state
        if state.open_step is not None:
            self._put(e.TextRetracted, from_sequence=state.open_step.sequence)
        try:
            return await self._call(Generate(step=plan.step), model, messages, is_first=False)
        except UpstreamError as error:
            return Failed(error.code, error.sentence)

    async def _call(self, plan: Generate, model: Model, messages: list[InputMessage], *, is_first: bool) -> Ending:
        self._put(e.StepStarted, step=plan.step, kind="model", name=model.id)
        # The call must not begin before the log says so: a takeover books what a call that it knows of has cost.
        await self._writer.stored()
        if is_first:
            self._writer.checkpoint()
        prefix = plan.prefix
        answer = Answer(
            self._writer,
            next_part=self._history.state.next_part,
            part=prefix.part if prefix is not None else None,
            size=len(prefix.text) if prefix is not None else 0,
            max_bytes=self._parts.max_answer_bytes,
        )
        self._generation = Generation(model, messages, prefix.text if prefix is not None else "", answer)
        result = await generate(
            self._parts.models,
            self._generation,
            policy=self._parts.retry,
            clock=self._parts.clock,
            run_id=self._claim.run_id,
        )
        return ending_of(
            finish_reason=result.finish_reason, refusal=result.refusal, asked_for_tools=bool(result.tool_requests)
        )

    def _book(self, step: int, of_attempt: int, model: str, usage: Usage, cost: int | None) -> None:
        self._put(e.UsageReported, step=step, of_attempt=of_attempt, model=model, usage=usage, cost_microusd=cost)

    def _book_interrupted(self, messages: list[InputMessage]) -> None:
        """Put the call that an earlier attempt left behind into the ledger, estimated."""
        found, self._unbooked = self._unbooked, None
        if found is None:
            return
        usage = Usage(
            input_tokens=input_tokens_of(messages),
            output_tokens=found.output_tokens,
            reasoning_tokens=found.reasoning_tokens,
            estimated=True,
        )
        model = self._parts.registry.models.get(self._command.model)
        cost = cost_microusd(model, usage) if model is not None else None
        self._book(found.step, found.attempt, self._command.model, usage, cost)

    async def _finish(self, ending: Ending | Interruption) -> Outcome:
        match ending:
            case Cancelled(by=by):
                return await self._end(Stopped(by))
            case Expired():
                return await self._end(Failed(RunFailure.DEADLINE, DEADLINE_SENTENCE))
            case Draining():
                await self._writer.stored()
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

    async def _end_on_failed_log(self, error: Exception) -> Outcome:
        if isinstance(error, FencedError) or not isinstance(error, StreamFullError):
            raise error
        # What still waited was refused and is gone; the end itself is small and may fit, or fit by now.
        self._writer = self._new_writer(self._writer.stream_sequence)
        writing = asyncio.create_task(self._writer.run())
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
        if self._unbooked is not None:
            self._book_interrupted(await self._late_input())
        generation = self._generation
        await self._writer.stored()
        step = self._history.state.open_step
        if generation is not None and generation.is_billed and step is not None:
            self._book(step.step, self._number, generation.call.model.id, generation.usage, generation.cost)
        if isinstance(ending, Completed) and step is not None:
            self._put(e.StepFinished, step=step.step, finish_reason=ending.finish_reason)
        await self._writer.stored()
        self._put_terminal(ending)
        self._writer.checkpoint()
        await self._writer.stored()
        await self._parts.log.release(self._claim)
        state = self._history.state
        logger.info(
            "run.ended", run_id=self._claim.run_id, attempt=self._number, status=state.status, code=state.error_code
        )
        return Done()

    async def _ensure_begun(self) -> None:
        """An interruption may have come before the first event of the run."""
        await self._writer.stored()
        state = self._history.state
        if state.attempt != self._number:
            self._begin(state)

    async def _late_input(self) -> list[InputMessage]:
        with contextlib.suppress(TimeoutError, RunGoneError):
            async with asyncio.timeout(LATE_INPUT_SECONDS):
                return await get_input(self._parts.inputs, self._claim.run_id)
        return []

    def _put_terminal(self, ending: Ending) -> None:
        state = self._history.state
        totals = {"message_id": state.message_id, "usage": state.usage, "cost_microusd": state.cost_microusd}
        match ending:
            case Completed():
                self._put(e.RunCompleted, **totals)
            case Failed(code=code, sentence=sentence):
                self._put(e.RunFailed, **totals, code=code.value, message=sentence)
            case Stopped(by=by):
                self._put(e.RunCancelled, **totals, by=by)


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
