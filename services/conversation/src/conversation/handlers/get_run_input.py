"""Gather what the model is sent for a run. For inference, which acts for no user."""

from contextlib import aclosing

from contracts.ids import MESSAGE, RUN

from conversation.domain.context import Context, RunInput
from conversation.domain.refusals import known_id, not_found, unknown_model
from conversation.ports import Parts


async def get_run_input(parts: Parts, run_id: str) -> RunInput:
    """System prompt, history along the branch as far as it fits, and the message to answer, oldest first."""
    run = await parts.records.run(known_id(RUN, run_id))
    if run is None:
        raise not_found(RUN)
    model = parts.registry.find(run.model)
    if model is None:
        raise unknown_model(run.model)
    question = await parts.records.message(run.question_id)
    if question is None:
        raise not_found(MESSAGE)
    user = await parts.records.user(run.user_id)
    context = Context(question, "" if user is None else user.preferences.system_prompt, model)
    if context.wants_more():
        async with aclosing(parts.records.messages_before(run.thread_id, question.position)) as older:
            async for message in older:
                context.offer(message)
                if not context.wants_more():
                    break
    return RunInput(run.model, context.messages)
