"""Append to threads over NATS: stored by the broker, then carried out or rejected by conversation, which says which."""

import asyncio
import secrets
from typing import Final

import msgspec
from contracts.commands import APPEND_KEY, REPLY_TO, AppendOutcome, AppendToThread
from contracts.subjects import append_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from everthread_client.errors import RejectedError, UnreachableError

ATTEMPT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.2


class Appender:
    """Sends appends over one connection and hears their outcomes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[AppendOutcome]] = {}

    async def start(self) -> None:
        """Subscribe where the outcomes come."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._heard)

    async def append(self, thread_id: str, command: AppendToThread, key: str, *, patience: float) -> AppendOutcome:
        """Send until an outcome is heard. Each attempt has a message id of its own, or the broker would drop it; `key` makes
        it one append all the same. Raises RejectedError, UnreachableError."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + patience
        payload, subject = msgspec.json.encode(command), append_subject(thread_id)
        heard: asyncio.Future[AppendOutcome] = loop.create_future()
        token = secrets.token_hex(8)
        self._waiting[token] = heard
        attempt = 0
        problem = "no word from conversation"
        try:
            while (left := give_up - loop.time()) > 0:
                headers = {
                    "Nats-Msg-Id": f"{key}:{attempt}" if attempt else key,
                    APPEND_KEY: key,
                    REPLY_TO: f"{self._inbox}.{token}",
                }
                attempt += 1
                try:
                    await self._store(subject, payload, headers, timeout=min(left, ATTEMPT_SECONDS))
                except (NatsError, OSError, TimeoutError) as error:
                    problem = str(error) or type(error).__name__
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                await asyncio.wait([heard], timeout=min(max(give_up - loop.time(), 0), ATTEMPT_SECONDS))
                if heard.done():
                    outcome = heard.result()
                    if not outcome.accepted:
                        raise RejectedError(outcome.code, outcome.detail)
                    return outcome
        finally:
            self._waiting.pop(token, None)
        raise UnreachableError(f"The append {key} to {thread_id}: {problem}. It may be carried out all the same.")

    async def _store(self, subject: str, payload: bytes, headers: dict[str, str], *, timeout: float) -> None:
        receipt = await self._client.request(subject, payload, timeout=timeout, headers=headers)
        problem = msgspec.json.decode(receipt.data, type=_Receipt).error
        if problem is not None:
            raise TimeoutError(f"the broker refused: {problem.description}")

    async def _heard(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rsplit(".", 1)[1])
        if waiting is not None and not waiting.done():
            waiting.set_result(msgspec.json.decode(message.data, type=AppendOutcome))


class _Problem(msgspec.Struct):
    description: str = ""


class _Receipt(msgspec.Struct):
    error: _Problem | None = None
