"""Gather what the model is sent for a run. For inference, which acts for no user."""

from contextlib import aclosing

from contracts.ids import MESSAGE, RUN
from contracts.parts import Part
from runtime import metrics, operations
from runtime.names import Metric

from conversation.domain.context import Asked, Context, RunInput
from conversation.domain.refusals import known_id, not_found, unknown_model
from conversation.ports import Parts


async def get_run_input(parts: Parts, run_id: str) -> RunInput:
    """System prompt, history along the branch as far as it fits, and the message to answer, oldest first. A shadow is sent
    what the run that it repeats was sent."""
    with operations.counting() as count:
        asked, recorded = await _asked_or_served(parts, known_id(RUN, run_id))
        found = await _input_of(parts, asked, recorded)
    if asked.run.id == run_id:
        metrics.add(Metric.DATABASE_OPERATIONS, count.commands, path=asked.run.path, activity="input")
    return found


async def _asked_or_served(parts: Parts, run_id: str) -> tuple[Asked, tuple[Part, ...]]:
    asked = await parts.records.asked(run_id)
    if asked is not None:
        return asked, ()
    shadow = await parts.records.shadows.find(run_id)
    asked = None if shadow is None else await parts.records.asked(shadow.served_run_id)
    served = None if shadow is None else await parts.records.message(shadow.served_message_id)
    if asked is None or served is None:
        raise not_found(RUN)
    return asked, served.parts


async def _input_of(parts: Parts, asked: Asked, recorded: tuple[Part, ...]) -> RunInput:
    run, question, user = asked.run, asked.question, asked.user
    model = parts.registry.find(run.model)
    if model is None:
        raise unknown_model(run.model)
    if question is None:
        raise not_found(MESSAGE)
    context = Context(question, "" if user is None else user.preferences.system_prompt, model, run.context)
    if context.wants_more():
        async with aclosing(parts.records.messages_before(run.thread_id, question.position)) as older:
            async for message in older:
                context.offer(message)
                if not context.wants_more():
                    break
    return RunInput(
        model=run.model,
        messages=context.messages,
        agent=run.agent,
        user_id=run.user_id,
        roles=run.roles,
        recorded=recorded,
        client_tools=run.client_tools,
    )
