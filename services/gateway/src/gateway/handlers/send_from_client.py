"""Send a message for a client that keeps its own list of messages: find where in the thread it belongs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from contracts.client_tools import ClientTools
from contracts.codes import Code
from contracts.parts import ToolCallPart
from contracts.registry import Registry

from gateway.domain.path_flag import DURABLE
from gateway.domain.problems import Refusal
from gateway.domain.records import Accepted, Earlier
from gateway.handlers.send_message import MessageToSend, check_message, check_model
from gateway.ports import ClientMessage, ClientThreads, Conversation

__all__ = ["Earlier", "FromClient", "send_from_client"]

RESENDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FromClient:
    """What a client wants answered. `replaces`: what is after `earlier` in the thread is not to be continued (an edit, a
    regeneration). `key` is the client's own name for this request, empty if it has none. `roles` are the caller's. With `results`,
    of calls that the message before left to the client, nothing else is said and `content` is their text; `results_once`: of one
    call the first ones stand. `tools` are what the
    client brings, `context` is what the model shall know for this run alone."""

    thread_id: str
    content: str
    earlier: Sequence[Earlier] = ()
    replaces: bool = False
    model: str = ""
    key: str = ""
    client: str = ""
    tags: Sequence[str] = ()
    path: str = DURABLE
    roles: tuple[str, ...] = ()
    results: tuple[ToolCallPart, ...] = ()
    results_once: bool = False
    tools: ClientTools | None = None
    context: str = ""


async def send_from_client(
    conversation: Conversation, threads: ClientThreads, models: Registry, user_id: str, wanted: FromClient
) -> Accepted:
    """Open the thread and accept the message in its place: behind the last answer the client has, if that is ours; else on a
    new branch with the client's own history; else at the thread's end. The same key gives the same run again, unless that
    failed. Raises Refusal."""
    if wanted.results:
        check_model(wanted.model, models)
    else:
        check_message(MessageToSend(content=wanted.content, model=wanted.model), models)
    await threads.open_thread(user_id, wanted.thread_id, tags=wanted.tags)
    message = _placed(wanted)
    try:
        return await _accept(conversation, threads, user_id, wanted, message)
    except Refusal as refusal:
        if refusal.code is not Code.MESSAGE_NOT_FOUND or not message.parent_message_id:
            raise
    # The answer it has is of another thread (a chat that was copied): bring its history along instead.
    return await _accept(conversation, threads, user_id, wanted, _imported(wanted))


def _placed(wanted: FromClient) -> ClientMessage:
    at = next((at for at in reversed(range(len(wanted.earlier))) if wanted.earlier[at].stored_id), None)
    if at is not None:
        # What the client has done since for the answer that it has: of anything else there, the thread knows.
        results = [item for item in wanted.earlier[at + 1 :] if item.role == "tool" and item.parts]
        return _message(wanted, parent_message_id=wanted.earlier[at].stored_id, history=results)
    if wanted.earlier:
        return _imported(wanted)
    return _message(wanted, from_root=wanted.replaces)


def _imported(wanted: FromClient) -> ClientMessage:
    history = [item for item in wanted.earlier if item.content.strip() or item.parts]
    return _message(wanted, from_root=True, history=history)


def _message(
    wanted: FromClient,
    *,
    parent_message_id: str = "",
    from_root: bool = False,
    history: Sequence[Earlier] = (),
) -> ClientMessage:
    said = [(item.role, item.content, *item.parts) for item in history]
    body = [wanted.thread_id, wanted.content, wanted.model, parent_message_id, from_root, said]
    if wanted.results or wanted.tools is not None:
        body += [wanted.results, wanted.tools]
    if wanted.context:
        body.append(wanted.context)
    digest = hashlib.sha256(msgspec.json.encode(body)).digest()
    # Another text under the same name (an edited message) is another request.
    key = f"{hashlib.sha256(wanted.key.encode()).hexdigest()[:32]}-{digest.hex()[:32]}" if wanted.key else ""
    return ClientMessage(
        content=wanted.content,
        model=wanted.model,
        idempotency_key=key,
        body_hash=digest,
        parent_message_id=parent_message_id,
        from_root=from_root,
        history=history,
        client=wanted.client,
        path=wanted.path,
        roles=wanted.roles,
        results=wanted.results,
        results_once=wanted.results_once,
        tools=wanted.tools,
        context=wanted.context,
    )


async def _accept(
    conversation: Conversation, threads: ClientThreads, user_id: str, wanted: FromClient, message: ClientMessage
) -> Accepted:
    accepted = await threads.accept(user_id, wanted.thread_id, message)
    for _ in range(RESENDS):
        if not accepted.repeated:
            break
        run, _stored = await conversation.get_run(user_id, accepted.run_id)
        if run.status != "error":
            break
        again = replace(message, idempotency_key=f"{message.idempotency_key}-{run.id}")
        accepted = await threads.accept(user_id, wanted.thread_id, again)
    return accepted
