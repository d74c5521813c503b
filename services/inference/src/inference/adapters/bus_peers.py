"""Asking the other workers, and what is asked, as it travels."""

import asyncio
import time
from typing import Final

import msgspec
from bus.api import Bus
from contracts.subjects import adopt_subject

from inference.domain.adoption import AdoptAnswer
from inference.domain.peers import PeerClaims

ANSWER_SECONDS: Final = 1.0
"""A worker that executes a run answers in a few milliseconds; one that does not within this time is stuck or gone."""
STUCK_SECONDS: Final = 0.9 * ANSWER_SECONDS
"""No answer after so long: it listens and is stuck. Sooner, nobody listens, or the question was lost with the connection."""

RETURN_SECONDS: Final = 4.0
"""Longer than a connection takes to come back once the broker is there again."""
BLIP_SECONDS: Final = 0.06
"""Longer than a connection takes to come back at once."""
OUTAGE_SECONDS: Final = 30.0
ASK_AGAIN_SECONDS: Final = 0.1
ASK_LOST_SECONDS: Final = 0.02


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
    """Implements ports.Peers. `patience`: for how many seconds a worker is asked again while nobody listens there.

    After an outage of the broker all workers come back within seconds of each other, and the first one back is delivered
    what the others still work on. One that is said to be dead is asked for a moment only: as long as a living one needs to
    connect again after a blip.
    """

    def __init__(self, bus: Bus, claims: PeerClaims, *, patience: float = RETURN_SECONDS) -> None:
        self._bus, self._claims, self._patience = bus, claims, patience

    async def adopt(self, worker: str, run_id: str, reply: str, stream_sequence: int) -> AdoptAnswer:
        """See ports.Peers."""
        question = AdoptQuestion(run_id=run_id, reply=reply, stream_sequence=stream_sequence)
        data = await self._ask(worker, msgspec.json.encode(question))
        if data is None:
            return "no"
        self._claims.find(worker)
        try:
            return _replies.decode(data).answer
        except msgspec.DecodeError:
            return "no"

    async def _ask(self, worker: str, question: bytes) -> bytes | None:
        began = time.monotonic()
        patient_until = began + self._patience
        while True:
            asked = time.monotonic()
            data = await self._bus.request(adopt_subject(worker), question, timeout=ANSWER_SECONDS)
            now = time.monotonic()
            if data is not None or now - asked >= STUCK_SECONDS:
                return data
            if not self._bus.connected and now - began < OUTAGE_SECONDS:
                # It is this process that nobody hears; of the other one nothing is known.
                patient_until = now + self._patience
            lost_since = self._claims.lost_since(worker)
            if now >= (patient_until if lost_since is None else lost_since + BLIP_SECONDS):
                return None
            await asyncio.sleep(ASK_AGAIN_SECONDS if lost_since is None else ASK_LOST_SECONDS)


def decode_question(data: bytes) -> AdoptQuestion:
    """Raises msgspec.DecodeError."""
    return _questions.decode(data)


def encode_answer(answer: AdoptAnswer) -> bytes:
    """The bytes of an answer."""
    return msgspec.json.encode(_Reply(answer=answer))
