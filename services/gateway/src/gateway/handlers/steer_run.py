"""Steer a run: a message that joins its answer at the next step."""

from contracts.codes import Code
from contracts.registry import Registry

from gateway.domain.path_flag import DURABLE
from gateway.domain.problems import Refusal
from gateway.domain.records import ENDED, Accepted, SendOptions
from gateway.handlers.send_message import MessageToSend, send_message
from gateway.ports import Conversation


async def steer_run(
    conversation: Conversation,
    models: Registry,
    user_id: str,
    run_id: str,
    content: str,
    *,
    roles: tuple[str, ...],
    idempotency_key: str,
) -> Accepted:
    """The message is stored with the command, and answered by a run of its own where this one ends before it could join.
    Idempotent by key; raises Refusal."""
    run, _ = await conversation.get_run(user_id, run_id, commanding=True)
    # A repeated request gets the answer that it got before the end; only conversation knows whether it is one.
    if run.status in ENDED and not idempotency_key:
        raise Refusal(Code.RUN_FINISHED, "The run has ended already; send a message instead.")
    options = SendOptions(steer_run_id=run_id, roles=roles)
    message = MessageToSend(content=content, idempotency_key=idempotency_key, options=options)
    return await send_message(conversation, models, user_id, run.thread_id, message, path=DURABLE)
