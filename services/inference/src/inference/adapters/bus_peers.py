"""Asking the other workers, and what is asked, as it travels."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from bus.api import Bus
from contracts.subjects import adopt_subject

from inference.domain.adoption import AdoptAnswer

ANSWER_SECONDS: Final = 1.0
"""A worker that executes a run answers in a few milliseconds; one that does not within this time is stuck or gone."""

RETURN_SECONDS: Final = 3.0
"""Longer than a connection takes to come back once the broker is there again."""
ASK_AGAIN_SECONDS: Final = 0.1


class AdoptQuestion(msgspec.Struct, kw_only=True):
    """Do you execute this run, and will you beat for this delivery (its reply subject, its place on COMMANDS)?"""

    run_id: str
    reply: str
    stream_sequence: int


class _Reply(msgspec.Struct, kw_only=True):
    answer: AdoptAnswer


_questions = msgspec.json.Decoder(AdoptQuestion)
_replies = msgspec.json.Decoder(_Reply)


class BusPeers:
    """Implements ports.Peers. `is_lost`: whether a worker is said to be dead. `patience`: for how many seconds one that is
    not said to be is asked again while nobody listens there.

    After an outage of the broker all workers come back within seconds of each other, and the first one back is delivered
    what the others still work on.
    """

    def __init__(self, bus: Bus, is_lost: Callable[[str], bool], *, patience: float = RETURN_SECONDS) -> None:
        self._bus, self._is_lost, self._patience = bus, is_lost, patience

    async def adopt(self, worker: str, run_id: str, reply: str, stream_sequence: int) -> AdoptAnswer:
        """See ports.Peers."""
        question = AdoptQuestion(run_id=run_id, reply=reply, stream_sequence=stream_sequence)
        data = await self._ask(worker, msgspec.json.encode(question))
        if data is None:
            return "no"
        try:
            return _replies.decode(data).answer
        except msgspec.DecodeError:
            return "no"

    async def _ask(self, worker: str, question: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            asked = loop.time()
            data = await self._bus.request(adopt_subject(worker), question, timeout=ANSWER_SECONDS)
            # No answer at all, and only after a while: it listens and is stuck.
            if data is not None or loop.time() - asked > ANSWER_SECONDS / 2:
                return data
            if self._is_lost(worker) or loop.time() - began > self._patience:
                return None
            await asyncio.sleep(ASK_AGAIN_SECONDS)


def decode_question(data: bytes) -> AdoptQuestion:
    """Raises msgspec.DecodeError."""
    return _questions.decode(data)


def encode_answer(answer: AdoptAnswer) -> bytes:
    """The bytes of an answer."""
    return msgspec.json.encode(_Reply(answer=answer))
