"""Store one message, or several together, exactly once: the same again until the server says yes or no, within a budget."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec
from runtime import metrics
from runtime.names import Metric
from ulid import ULID

from bus.errors import BusError, StreamFullError, UnavailableError
from bus.jetstream import api_calls
from bus.jetstream.client import Message
from bus.jetstream.connection import Connection
from bus.jetstream.requests import NoAnswerError, Requests

BUDGET: Final = 30.0
ANSWER_TIMEOUT: Final = 4.0
LONGEST_WAIT: Final = 1.0
BATCH_ID: Final = "Nats-Batch-Id"
BATCH_SEQUENCE: Final = "Nats-Batch-Sequence"
BATCH_COMMIT: Final = {"Nats-Batch-Commit": "1"}
_AGAIN: Final = frozenset(
    {
        api_calls.STORE_FAILED,
        api_calls.WRONG_LAST_SEQUENCE_IN_FLIGHT,
        api_calls.DUPLICATE_IN_FLIGHT,
        api_calls.INCOMPLETE_BATCH,
        api_calls.TOO_MANY_BATCHES,
    }
)


class _Refusal(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Acknowledgement(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _Refusal | None = None


_decoder = msgspec.json.Decoder(_Acknowledgement)


class Receipt(msgspec.Struct, frozen=True):
    """Where it is stored. `duplicate`: the id was known. `first_try`: so an earlier call, not this one, stored it."""

    stream_sequence: int
    duplicate: bool
    first_try: bool


class KnownMessageError(Exception):
    """Nothing of a batch was stored now: the id of one of its messages was known, from an earlier try of this very call or from
    an earlier call."""


class WrongLastSequenceError(Exception):
    """The compare failed. `first_try` False: an earlier try of this very call may be what is stored there."""

    def __init__(self, *, first_try: bool) -> None:
        super().__init__("wrong last sequence")
        self.first_try = first_try


async def store(
    connection: Connection,
    requests: Requests,
    subject: str,
    data: bytes,
    headers: Mapping[str, str],
    *,
    budget: float = BUDGET,
) -> Receipt:
    """Send until acknowledged. Raises WrongLastSequenceError, StreamFullError, UnavailableError, BusError."""

    def ask(timeout: float) -> Awaitable[Message]:
        return requests.ask(subject, data, headers=headers, timeout=timeout)

    return await _until_answered(connection, subject, ask, budget)


async def store_together(
    connection: Connection,
    requests: Requests,
    subject: str,
    messages: Sequence[tuple[bytes, Mapping[str, str]]],
    *,
    budget: float = BUDGET,
) -> Receipt:
    """Send an atomic batch of messages with their headers until acknowledged: all are stored, or none. The receipt is the
    last one's. Raises as store, and KnownMessageError."""

    def ask(timeout: float) -> Awaitable[Message]:
        # A batch of its own at each try: of one that was cut off the server has some messages, and waits for the others.
        batch = str(ULID())
        numbered = [
            (data, {**headers, BATCH_ID: batch, BATCH_SEQUENCE: str(number)})
            for number, (data, headers) in enumerate(messages, 1)
        ]
        *ahead, (data, headers) = numbered
        return requests.ask(subject, data, headers={**headers, **BATCH_COMMIT}, timeout=timeout, ahead=ahead)

    return await _until_answered(connection, subject, ask, budget)


async def _until_answered(
    connection: Connection, subject: str, ask: Callable[[float], Awaitable[Message]], budget: float
) -> Receipt:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + budget
    tries = 0
    trouble = "not connected to NATS"
    while True:
        remaining = deadline - loop.time()
        if remaining <= 0:
            raise UnavailableError(f"{subject}: {trouble}, for {budget:.0f} s; it may or may not be stored")
        if connection.closed:
            raise UnavailableError(f"{subject}: the connection is closed")
        if connection.connected or await connection.until_connected(remaining):
            tries += 1
            try:
                message = await ask(min(ANSWER_TIMEOUT, remaining))
            except NoAnswerError as error:
                trouble = str(error)
            else:
                answer = _decoder.decode(message.data)
                if answer.error is None:
                    return Receipt(answer.seq, answer.duplicate, tries == 1)
                _raise_if_final(subject, answer.error, first_try=tries == 1)
                trouble = answer.error.description
        longest = min(LONGEST_WAIT, 0.02 * 2.0 ** min(tries, 10))
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311  # no secret


def _raise_if_final(subject: str, refusal: _Refusal, *, first_try: bool) -> None:
    code, said = refusal.err_code, refusal.description
    if code == api_calls.WRONG_LAST_SEQUENCE:
        raise WrongLastSequenceError(first_try=first_try)
    if code == api_calls.BATCH_HAS_DUPLICATE:
        raise KnownMessageError(f"{subject}: {said}")
    # 10077 stands for every failure to store; only a limit or a full disk is final.
    full = code == api_calls.STORE_FAILED and ("exceeded" in said or "no space" in said)
    if full or code in api_calls.RESOURCES_EXCEEDED:
        metrics.add(Metric.STREAM_FULL)
        raise StreamFullError(f"{subject}: the stream refused it: {said}; delete something or raise its limit")
    if code in _AGAIN or refusal.code >= 500:
        return
    raise BusError(f"{subject}: refused by the server: {said} ({code})")
