"""Stop a run: a durable command in its log, from any device, as often as one likes."""

import asyncio
from contextlib import suppress
from datetime import datetime

import msgspec
from bus.errors import UnavailableError
from contracts.codes import Code
from contracts.commands import CancelRun
from contracts.events import TERMINAL_TYPES, event_head
from contracts.subjects import run_subject
from contracts.times import rfc3339

from gateway.console_ports import AnyRuns
from gateway.domain.patience import LOOK_SECONDS
from gateway.domain.problems import Refusal, not_recorded, unconfirmed
from gateway.domain.records import ENDED
from gateway.ports import LogReader, NotSentError


async def cancel_run(conversation: AnyRuns, log: LogReader, user_id: str, run_id: str, *, now: datetime) -> None:
    """Durable when this returns. Raises Refusal: not found, forbidden for viewers, finished, or unavailable, which says whether
    the stop may be recorded; repeating is safe. Raises BusError where the stream is full."""
    run, message = await conversation.get_run(user_id, run_id, commanding=True)
    last = None
    ended = message is not None or run.status in ENDED
    if not ended:
        # A log that cannot be read here may still take the command; stopping what has ended does nothing.
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                last = await log.last(run_subject(run.thread_id, run_id, "event"))
    if ended or (last is not None and event_head(last.data)[0] in TERMINAL_TYPES):
        raise Refusal(Code.RUN_FINISHED, "The run has ended already; there is nothing to stop.")
    command = msgspec.json.encode(CancelRun(by=user_id, at=rfc3339(now)))
    try:
        await log.append_command(run.thread_id, run_id, command, message_id=f"{run_id}:cancel")
    except NotSentError as error:
        raise not_recorded("The stop") from error
    except UnavailableError as error:
        raise unconfirmed("The stop") from error
