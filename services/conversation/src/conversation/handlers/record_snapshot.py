"""Record what a run's log says: how far an answer is, and how it ended."""

from datetime import datetime

from contracts.run_state import RunState
from contracts.times import parse_rfc3339
from runtime import metrics, operations
from runtime.names import Metric

from conversation.domain.entities import Run
from conversation.domain.facts import run_ended, run_waiting
from conversation.domain.shadows import is_shadow, plan_shadow
from conversation.handlers.queueing import go_on
from conversation.handlers.record_shadow import record_shadow
from conversation.ports import Parts, Writes


async def record_snapshot(parts: Parts, state: RunState) -> None:
    """Idempotent, and right in any order: an older snapshot never replaces a newer one, and an end is final. A thread that
    was deleted meanwhile has nothing to record. Returns once everything is stored and told."""
    if is_shadow(state):
        await record_shadow(parts, state)
        return
    if not state.is_terminal:
        if state.status != "pending":
            with operations.counting() as count:
                await parts.records.show_progress(state)
            metrics.add(Metric.DATABASE_OPERATIONS, count.commands, path=state.path, activity="progress")
        if state.waiting is not None and (waits := await parts.records.run(state.run_id)) is not None:
            await parts.broker.say(run_waiting(state, state.waiting, waits))
        return
    ended_at = _moment(state.ended_at, parts)

    async def body(writes: Writes) -> Run | None:
        run = await writes.end_run(state, ended_at)
        planned = run and plan_shadow(run, state, now=parts.now(), timing=parts.timing, new_id=parts.new_id)
        if run is not None:
            await go_on(parts, writes, run, state)
        if planned:
            shadow, command = planned
            await writes.add_shadow(shadow)
            writes.say(command)
        return run

    with operations.counting() as count:
        ended = await parts.records.transaction(body)
    if ended is not None:
        metrics.add(Metric.DATABASE_OPERATIONS, count.commands, path=ended.path, activity="end")
        _measure(ended, state, ended_at, parts.now())
    run = ended or await parts.records.run(state.run_id)
    if run is None:
        return
    # Not through the outbox: the delivery that brought the snapshot comes again until this has been told, and the fact's id
    # follows from the run's, so it is told once. That saves two writes per answer.
    await parts.broker.say(run_ended(state, run))


def _measure(run: Run, state: RunState, ended_at: datetime, now: datetime) -> None:
    """Once per run, as it ends once."""
    metrics.add(Metric.RUNS_ENDED, path=run.path, status=state.status, code=state.error_code or "")
    seconds = (ended_at - run.created_at).total_seconds()
    metrics.observe(Metric.RUN_SECONDS, max(0.0, seconds), path=run.path, status=state.status)
    metrics.observe(Metric.RECORD_SECONDS, max(0.0, (now - ended_at).total_seconds()))
    for entry in state.ledger:
        usage = entry.usage
        metrics.add(Metric.TOKENS, usage.input_tokens, model=entry.model, kind="input")
        metrics.add(Metric.TOKENS, usage.output_tokens, model=entry.model, kind="output")
        metrics.add(Metric.TOKENS, usage.cached_tokens, model=entry.model, kind="cached")
        metrics.add(Metric.TOKENS, usage.reasoning_tokens, model=entry.model, kind="reasoning")
        metrics.add(Metric.COST, entry.cost_microusd or 0, model=entry.model)


def _moment(text: str | None, parts: Parts) -> datetime:
    return parts.now() if text is None else parse_rfc3339(text)
