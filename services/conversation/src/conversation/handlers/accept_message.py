"""Accept a message: one transaction, after which the answer will finish whatever dies."""

from contracts.codes import Code
from contracts.ids import MESSAGE
from runtime import metrics, operations
from runtime.names import Metric

from conversation.domain.acceptance import Accepted, NewMessage, check_repetition, choose_model, plan_acceptance
from conversation.domain.entities import DURABLE, LEGACY, SHADOW
from conversation.domain.limits import check_client, check_content, check_history, check_key
from conversation.domain.refusals import RefusedError, known_id, not_found, unknown_model
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes

PATHS = (DURABLE, LEGACY, SHADOW)


async def accept_message(parts: Parts, message: NewMessage) -> Accepted:
    """Store the message, its pending answer, the run, its command and the facts. Idempotent by `idempotency_key`."""
    check_content(message.content, parts.limits)
    check_key(message.idempotency_key, parts.limits)
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

    stored = False

    async def body(writes: Writes) -> Accepted:
        nonlocal stored
        stored = False
        thread = await access_thread(writes, message.user_id, message.thread_id)
        if message.idempotency_key:
            remembered = await writes.remembered(message.user_id, message.idempotency_key)
            if remembered is not None:
                return check_repetition(message, remembered)
        if message.parent_message_id and await writes.message(thread.id, message.parent_message_id) is None:
            raise not_found(MESSAGE)
        users_default = ""
        if not message.model and not thread.model:
            user = await writes.user(message.user_id)
            users_default = "" if user is None else user.preferences.default_model
        acceptance = plan_acceptance(
            message,
            thread,
            choose_model(message.model, thread, users_default, parts.registry),
            now=parts.now(),
            timing=parts.timing,
            new_id=parts.new_id,
        )
        await writes.accept(acceptance, message.idempotency_key)
        for outgoing in acceptance.outgoing:
            writes.say(outgoing)
        stored = True
        return acceptance.accepted

    with operations.counting() as count:
        accepted = await parts.records.transaction(body)
    if stored:
        metrics.add(Metric.ACCEPTED, path=accepted.path)
        metrics.add(Metric.DATABASE_OPERATIONS, count.commands, path=accepted.path, activity="accept")
    return accepted
