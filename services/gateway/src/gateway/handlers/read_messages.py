"""The stored view of a thread, a running answer overlaid from its log: what a viewer who attaches now would see."""

import asyncio
from dataclasses import replace
from typing import Final

import msgspec
import structlog
from contracts.run_state import RunState, RunStatus

from gateway.domain.records import ENDED, Message
from gateway.handlers.fold_run import state_soon
from gateway.ports import BusError, Conversation, LogReader, Page

logger = structlog.get_logger()

MESSAGE_STATUS: Final[dict[RunStatus, str]] = {"waiting": "generating"}
"""A message knows fewer states than a run; all others are named alike."""


async def read_messages(
    conversation: Conversation,
    log: LogReader,
    user_id: str,
    thread_id: str,
    *,
    cursor: str,
    limit: int,
    branch: str = "",
    from_end: bool = False,
) -> Page:
    """One page, oldest first, the last one with `from_end`; raises Refusal. Where the log does not answer, a running answer shows
    what was last stored, and says so (`as_stored`)."""
    page = await conversation.list_messages(
        user_id, thread_id, cursor=cursor, limit=limit, branch=branch, from_end=from_end
    )
    messages = await asyncio.gather(*(_overlaid(log, message) for message in page.messages))
    return replace(page, messages=messages)


async def _overlaid(log: LogReader, message: Message) -> Message:
    if message.status in ENDED or not message.run_id or message.role != "assistant":
        return message
    try:
        state = await state_soon(log, message.thread_id, message.run_id)
    except BusError as error:
        logger.warning("messages.overlay_failed", run_id=message.run_id, error=str(error))
        return replace(message, as_stored=True)
    return message if state is None else overlay(message, state)


def overlay(message: Message, state: RunState) -> Message:
    """The message as its run's state has it."""
    ended = state.is_terminal
    return replace(
        message,
        status=MESSAGE_STATUS.get(state.status, state.status),
        content=state.content,
        parts_json=msgspec.json.encode(state.message_parts),
        model=state.model or message.model,
        usage=state.usage if ended else message.usage,
        cost_microusd=state.cost_microusd if ended else message.cost_microusd,
        error_code=state.error_code or "",
        error_message=state.error_message or "",
        cancelled_by=state.cancelled_by or "",
    )
