"""Appends of internal services, as they are delivered; each publisher that wants to know is told what became of its own."""

import re
from typing import Final

import msgspec
import structlog
from bus.api import Bus, Delivery, Done, Outcome, Poison, RetryLater
from bus.errors import BusError
from contracts.codes import Code
from contracts.commands import APPEND_KEY, REPLY_TO, AppendOutcome, AppendToThread
from contracts.subjects import token_at
from store.errors import StoreUnavailableError

from conversation.domain.refusals import RefusedError
from conversation.handlers.append_to_thread import append_to_thread
from conversation.ports import Parts

logger = structlog.get_logger()
RETRY_SECONDS: Final = 2.0
MESSAGE_ID: Final = "Nats-Msg-Id"
_INBOX: Final = re.compile(r"_INBOX_[a-z]+\.[A-Za-z0-9_.-]{1,200}")
_decoder: Final = msgspec.json.Decoder(AppendToThread)


class AppendSubscriber:
    """Calls append_to_thread for each delivery on contracts.topology.APPEND."""

    def __init__(self, parts: Parts, bus: Bus) -> None:
        self._parts = parts
        self._bus = bus

    async def __call__(self, delivery: Delivery) -> Outcome:
        try:
            command = _decoder.decode(delivery.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            await self._tell(delivery, _rejected(Code.BODY_INVALID, f"The command is no AppendToThread: {error}."))
            return Poison(f"not an append: {error}")
        thread_id = token_at(delivery.subject, 2)
        name = delivery.headers.get(APPEND_KEY) or delivery.headers.get(MESSAGE_ID, "")
        try:
            outcome = await append_to_thread(self._parts, thread_id, command, name)
        except RefusedError as refusal:
            logger.info("append.rejected", thread_id=thread_id, service=command.service, code=refusal.code)
            outcome = _rejected(refusal.code, refusal.sentence)
        except (StoreUnavailableError, BusError) as error:
            logger.warning("append.postponed", thread_id=thread_id, error=str(error))
            return RetryLater(RETRY_SECONDS)
        await self._tell(delivery, outcome)
        return Done()

    async def _tell(self, delivery: Delivery, outcome: AppendOutcome) -> None:
        """Best effort: who does not hear it sends the same again, under another message id, and hears it then."""
        reply = delivery.headers.get(REPLY_TO, "")
        if not _INBOX.fullmatch(reply):
            return
        try:
            await self._bus.tell(reply, msgspec.json.encode(outcome))
        except BusError as error:
            logger.warning("append.untold", subject=delivery.subject, error=str(error))


def _rejected(code: Code, sentence: str) -> AppendOutcome:
    return AppendOutcome(accepted=False, code=code.value, detail=sentence)
