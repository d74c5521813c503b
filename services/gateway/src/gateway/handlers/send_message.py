"""Send a message: check what can be checked here, have it accepted, say where to watch."""

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from contracts.codes import Code
from contracts.ids import MESSAGE, InvalidIdError, check_id
from contracts.registry import Registry

from gateway.domain.idempotency import check_key
from gateway.domain.path_flag import DURABLE
from gateway.domain.problems import Refusal
from gateway.domain.records import PLAIN, Accepted, SendOptions
from gateway.ports import Conversation

MAX_CHARACTERS: Final = 200_000


@dataclass(frozen=True, slots=True)
class MessageToSend:
    """What a client wants answered. Empty texts mean "not given"."""

    content: str
    model: str = ""
    parent_message_id: str = ""
    idempotency_key: str = ""
    options: SendOptions = PLAIN


def check_message(message: MessageToSend, models: Registry) -> None:
    """Everything that can be wrong with a message before anybody is asked; raises Refusal."""
    anew = bool(message.options.answers_message_id)
    if not message.content.strip() and not anew:
        raise Refusal(Code.MESSAGE_EMPTY, "The message has no text.")
    if len(message.content) > MAX_CHARACTERS:
        raise Refusal(
            Code.MESSAGE_TOO_LONG,
            f"The message has {len(message.content)} characters; at most {MAX_CHARACTERS} are accepted.",
        )
    check_model(message.model, models)
    if message.parent_message_id:
        try:
            check_id(MESSAGE, message.parent_message_id)
        except InvalidIdError as error:
            raise Refusal(Code.MESSAGE_NOT_FOUND, "The parent message is not in this thread.") from error
    check_key(message.idempotency_key or None)


def check_model(model: str, models: Registry) -> None:
    """A model that is named must be in the registry and have an address; raises Refusal."""
    if model and models.find(model) is None:
        usable = ", ".join(sorted(item.id for item in models.models.values() if item.available)) or "none"
        raise Refusal(Code.MODEL_UNKNOWN, f"The model {model[:100]!r} is not available here; available: {usable}.")


async def send_message(
    conversation: Conversation,
    models: Registry,
    user_id: str,
    thread_id: str,
    message: MessageToSend,
    *,
    path: str = DURABLE,
) -> Accepted:
    """Accept a message, to be answered by `path`. With an idempotency key, the same request gives the same answer; raises Refusal."""
    check_message(message, models)
    asked: list[object] = [thread_id, message.content, message.model, message.parent_message_id]
    if message.options != PLAIN:
        # What the author may do is not what they asked for.
        asked.append(replace(message.options, roles=()))
    body = msgspec.json.encode(asked)
    return await conversation.accept_message(
        user_id,
        thread_id,
        content=message.content,
        model=message.model,
        path=path,
        idempotency_key=message.idempotency_key,
        body_hash=hashlib.sha256(body).digest(),
        parent_message_id=message.parent_message_id,
        options=message.options,
    )
