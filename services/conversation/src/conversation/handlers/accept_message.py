"""Accept a message: one transaction, after which the answer will finish whatever dies."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from contracts.codes import Code
from contracts.ids import MESSAGE
from runtime import metrics, operations
from runtime.names import Metric

from conversation.domain.acceptance import (
    Accepted,
    NewMessage,
    Place,
    Remembered,
    check_repetition,
    choose_model,
    plan_acceptance,
)
from conversation.domain.entities import DURABLE, LEGACY, SHADOW, Run, Thread
from conversation.domain.limits import (
    check_agent,
    check_client,
    check_client_tools,
    check_content,
    check_context,
    check_history,
    check_key,
    check_label,
    check_results,
)
from conversation.domain.queueing import cancel_command, check_policy, check_run_at, place_behind, policy_of
from conversation.domain.refusals import RefusedError, known_id, unknown_model
from conversation.handlers.access import open_thread
from conversation.handlers.placing import find_place, find_standing, run_to_join
from conversation.handlers.queueing import join, runs_ahead
from conversation.ports import Parts, Writes

PATHS = (DURABLE, LEGACY, SHADOW)
Together = Callable[[Writes, Accepted], Awaitable[None]]


async def accept_message(parts: Parts, message: NewMessage, together: Together | None = None) -> Accepted:
    """Store the message, its pending answer, the run, its command and the facts. Idempotent by `idempotency_key`. `together` is
    carried out in the same transaction, also where the key was accepted before; if it raises, nothing is stored."""
    if message.results:
        check_results(message.results, parts.limits)
    elif not message.answers_message_id:
        check_content(message.content, parts.limits)
    check_key(message.idempotency_key, parts.limits)
    check_policy(message.on_busy)
    check_agent(message.agent)
    check_label(message.branch_label, parts.limits)
    run_at = check_run_at(message.run_at, parts.now())
    if message.path not in PATHS:
        raise RefusedError(
            Code.BODY_INVALID, f"The path is {message.path[:40]!r}; it must be one of {', '.join(PATHS)}."
        )
    if message.model and parts.registry.find(message.model) is None:
        raise unknown_model(message.model)
    if message.parent_message_id:
        known_id(MESSAGE, message.parent_message_id)
    check_history(message.history, parts.limits)
    check_client(message.client, parts.limits)
    check_client_tools(message.client_tools)
    check_context(message.context, parts.limits)

    stored = False

    async def body(writes: Writes) -> Accepted:
        nonlocal stored
        stored = False
        opening = await open_thread(writes, message.user_id, message.thread_id, message.idempotency_key)
        thread = opening.thread
        if opening.remembered is not None:
            return check_repetition(message, opening.remembered)
        wanted, question = await find_place(writes, thread, message)
        if (standing := await find_standing(writes, thread, wanted)) is not None:
            return standing
        if run_at is not None:
            # A legacy answer cannot wait: it lives with the request.
            wanted, place = replace(wanted, path=DURABLE), Place(question=question, held="time")
        else:
            ahead = await runs_ahead(writes, thread, opening.last_run)
            policy = policy_of(wanted, thread) if ahead or wanted.steer_run_id else "enqueue"
            joined = await run_to_join(writes, wanted, ahead) if policy == "steer" or wanted.steer_run_id else None
            if joined is not None:
                return await _join(parts, writes, thread, wanted, joined)
            if ahead and policy == "reject":
                raise RefusedError(
                    Code.THREAD_BUSY,
                    "Another answer of this thread goes on; wait for its end, or send with another on_busy.",
                )
            if policy == "interrupt":
                for run in ahead:
                    writes.say(cancel_command(run, message.user_id, parts.now()))
            place = place_behind(wanted, ahead, question)
        users_default = "" if opening.user is None else opening.user.preferences.default_model
        acceptance = plan_acceptance(
            wanted,
            thread,
            choose_model(message.model, thread, users_default, parts.registry),
            now=parts.now(),
            timing=parts.timing,
            new_id=parts.new_id,
            place=place,
        )
        await writes.accept(acceptance, message.idempotency_key)
        if acceptance.run.held == "queue":
            await writes.change_run(acceptance.run.behind, {"next_run": acceptance.run.id})
        for outgoing in acceptance.outgoing:
            writes.say(outgoing)
        stored = True
        return acceptance.accepted

    async def whole(writes: Writes) -> Accepted:
        accepted = await body(writes)
        if together is not None:
            await together(writes, accepted)
        return accepted

    with operations.counting() as count:
        accepted = await parts.records.transaction(whole)
    if stored:
        metrics.add(Metric.ACCEPTED, path=accepted.path)
        metrics.add(Metric.DATABASE_OPERATIONS, count.commands, path=accepted.path, activity="accept")
    return accepted


async def _join(parts: Parts, writes: Writes, thread: Thread, message: NewMessage, run: Run) -> Accepted:
    steer = await join(parts, writes, thread, message, run)
    accepted = Accepted(
        message_id=steer.id, assistant_message_id=run.message_id, run_id=run.id, path=run.path, steered=True
    )
    if message.idempotency_key:
        remembered = Remembered(thread_id=thread.id, body_hash=message.body_hash, accepted=accepted)
        await writes.remember(message.user_id, message.idempotency_key, remembered, parts.now())
    return accepted
