"""Put what an internal service says into a thread: once per name, in one transaction with what others are told."""

import hashlib
from dataclasses import replace

import msgspec
from contracts.commands import AppendOutcome, AppendToThread
from contracts.ids import FACT

from conversation.domain.acceptance import Accepted, NewMessage, Remembered, check_repetition
from conversation.domain.appending import appended_message, check_append
from conversation.domain.entities import DURABLE
from conversation.domain.facts import thread_updated
from conversation.domain.limits import check_content, check_key
from conversation.handlers.accept_message import accept_message
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def append_to_thread(parts: Parts, thread_id: str, command: AppendToThread, name: str) -> AppendOutcome:
    """Idempotent by `name`, the publisher's own for this append. Raises RefusedError: nothing is stored then."""
    check_append(command, name)
    check_content(command.text, parts.limits)
    check_key(name, parts.limits)
    digest = hashlib.sha256(msgspec.json.encode(command)).digest()
    # A name of its own kind: a person's Idempotency-Key never stands for a service's append.
    key = hashlib.sha256(f"append:{command.service}:{name}".encode()).hexdigest()
    asked = NewMessage(
        user_id=command.user_id,
        thread_id=thread_id,
        content=command.text,
        path=DURABLE,
        model=command.model,
        idempotency_key=key,
        body_hash=digest,
        service=command.service,
    )
    if command.answer:
        return _outcome(await accept_message(parts, asked))

    async def body(writes: Writes) -> Accepted:
        thread = await access_thread(writes, command.user_id, thread_id, "write")
        remembered = await writes.remembered(command.user_id, key)
        if remembered is not None:
            return check_repetition(asked, remembered)
        now = parts.now()
        message = appended_message(command, thread, now=now, new_id=parts.new_id)
        changed = replace(thread, updated_at=now, length=thread.length + 1, head=message.id)
        accepted = Accepted(message_id=message.id, assistant_message_id="", run_id="", path="")
        # The thread first: two writers in one thread collide here, before either has written anything else.
        await writes.change_thread(changed, {"length": changed.length, "head": changed.head})
        await writes.remember(
            command.user_id, key, Remembered(thread_id=thread_id, body_hash=digest, accepted=accepted), now
        )
        await writes.add_message(message)
        writes.say(thread_updated(changed, {"head": message.id}, parts.new_id(FACT), now))
        return accepted

    return _outcome(await parts.records.transaction(body))


def _outcome(accepted: Accepted) -> AppendOutcome:
    return AppendOutcome(
        accepted=True,
        message_id=accepted.message_id,
        run_id=accepted.run_id,
        assistant_message_id=accepted.assistant_message_id,
        repeated=accepted.repeated,
    )
