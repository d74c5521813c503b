"""Asking the other workers, and what is asked, as it travels."""

from typing import Final

import msgspec
from bus.api import Bus
from contracts.subjects import adopt_subject

from inference.domain.adoption import AdoptAnswer

ANSWER_SECONDS: Final = 1.0
"""A worker that executes a run answers in a few milliseconds; one that does not within this time is stuck or gone."""


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
    """Implements ports.Peers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def adopt(self, worker: str, run_id: str, reply: str, stream_sequence: int) -> AdoptAnswer:
        """See ports.Peers."""
        question = AdoptQuestion(run_id=run_id, reply=reply, stream_sequence=stream_sequence)
        data = await self._bus.request(adopt_subject(worker), msgspec.json.encode(question), timeout=ANSWER_SECONDS)
        if data is None:
            return "no"
        try:
            return _replies.decode(data).answer
        except msgspec.DecodeError:
            return "no"


def decode_question(data: bytes) -> AdoptQuestion:
    """Raises msgspec.DecodeError."""
    return _questions.decode(data)


def encode_answer(answer: AdoptAnswer) -> bytes:
    """The bytes of an answer."""
    return msgspec.json.encode(_Reply(answer=answer))
