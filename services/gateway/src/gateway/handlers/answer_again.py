"""Have the questions of runs that failed or were stopped answered again, of whomever."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from bus.errors import BusError
from contracts.codes import Code
from contracts.ids import RUN, InvalidIdError, check_id
from contracts.registry import Registry

from gateway.console_ports import Operations
from gateway.domain.problems import Refusal
from gateway.domain.records import ENDED, SendOptions
from gateway.handlers.send_message import MessageToSend, send_message
from gateway.ports import Conversation

logger = structlog.get_logger()

AT_ONCE: Final = 10


async def answer_again(
    operations: Operations, conversation: Conversation, models: Registry, by: str, run_ids: Sequence[str]
) -> tuple[Mapping[str, str], Mapping[str, Code]]:
    """The new run of each, on a branch of its own, in the name of who asked the question; and why the others have none. A run
    has one such answer however often this is repeated. Nobody may be watching, so it is always the durable path."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def again(run_id: str) -> str | Code:
        async with slots:
            try:
                run, _ = await operations.get_run(by, check_id(RUN, run_id))
                if run.status not in ENDED:
                    return Code.THREAD_BUSY
                if run.status == "complete":
                    return Code.RUN_FINISHED
                options = SendOptions(agent=run.agent, answers_message_id=run.message_id, roles=("user",))
                message = MessageToSend(content="", model=run.model, idempotency_key=f"again-{run_id}", options=options)
                accepted = await send_message(conversation, models, run.author, run.thread_id, message)
            except InvalidIdError:
                return Code.RUN_NOT_FOUND
            except Refusal as refusal:
                return refusal.code
            except (BusError, TimeoutError):
                return Code.UNAVAILABLE
            logger.info("run.answered_again", run_id=run_id, by=by, new_run_id=accepted.run_id)
            return accepted.run_id

    wanted = list(dict.fromkeys(run_ids))
    outcome = list(zip(wanted, await asyncio.gather(*(again(run_id) for run_id in wanted)), strict=True))
    return {run_id: found for run_id, found in outcome if not isinstance(found, Code)}, {
        run_id: found for run_id, found in outcome if isinstance(found, Code)
    }
