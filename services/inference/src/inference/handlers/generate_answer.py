"""One model call with its retries, its text on the way into the log, and its place in the ledger."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import structlog
from contracts.registry import cost_microusd
from contracts.usage import Usage

from inference.domain.endings import Failed
from inference.domain.estimate import BYTES_PER_TOKEN, estimated_usage, tokens_of_bytes
from inference.domain.limits import Allowance
from inference.domain.retry import RetryPolicy
from inference.domain.run_input import RunInput
from inference.domain.upstream_errors import UpstreamError
from inference.handlers.journal import Journal, encoded_size
from inference.ports import Clock, Generated, InputUnavailableError, ModelCall, Models, RunInputs

logger = structlog.get_logger()

QUOTES: Final = 2
"""Bytes round a text in JSON."""


class Answer:
    """What one model call says, written into the log as parts: a Sink.

    `part` is the open text part to go on in (with a prefix), None to begin a new one. `allowance` is how much it may say for
    the money and tokens there are: what goes beyond it is not written, to the token, however much comes at once.
    """

    def __init__(
        self, journal: Journal, *, part: int | None, agent: str | None, allowance: Allowance | None = None
    ) -> None:
        self._journal, self._writer, self._allowance = journal, journal.writer, allowance
        self._part, self._agent = part, agent
        self._in_reasoning = False
        self._is_cut = False
        self.text_bytes = 0
        self.reasoning_bytes = 0

    @property
    def has_shown(self) -> bool:
        """Something of this call was written: it cannot be repeated unseen."""
        return bool(self.text_bytes or self.reasoning_bytes)

    def text(self, delta: str) -> None:
        """Sink.text."""
        delta, size = self._allowed(delta, self.text_bytes, self.reasoning_bytes)
        if not delta:
            return
        if self._in_reasoning or self._part is None:
            self._open(reasoning=False)
        self.text_bytes += size
        self._journal.take_room(encoded_size(delta) - QUOTES)
        self._writer.text(self._part or 0, delta, self._agent)

    def reasoning(self, delta: str) -> None:
        """Sink.reasoning."""
        delta, size = self._allowed(delta, self.reasoning_bytes, self.text_bytes)
        if not delta:
            return
        if not self._in_reasoning or self._part is None:
            self._open(reasoning=True)
        self.reasoning_bytes += size
        self._journal.take_room(encoded_size(delta) - QUOTES)
        self._writer.reasoning(self._part or 0, delta, self._agent)

    def _allowed(self, delta: str, same: int, other: int) -> tuple[str, int]:
        """As much of `delta` as may still be said, and its bytes. `same` and `other` are the bytes of its kind and of the other
        kind so far."""
        if self._is_cut:
            return "", 0
        size = len(delta) if delta.isascii() else len(delta.encode("utf-8", "surrogatepass"))
        if self._allowance is None:
            return delta, size
        room = (self._allowance.output_tokens - tokens_of_bytes(other)) * BYTES_PER_TOKEN - same
        if size <= room:
            return delta, size
        self._is_cut = True
        kept = delta.encode("utf-8", "surrogatepass")[: max(0, room)].decode("utf-8", "ignore")
        return kept, len(kept.encode())

    def _open(self, *, reasoning: bool) -> None:
        self._part, self._in_reasoning = self._journal.new_part(), reasoning

    @property
    def is_full(self) -> bool:
        """Sink.is_full."""
        return self._writer.is_full

    @property
    def is_over(self) -> bool:
        """Sink.is_over."""
        return self._journal.room < 0 or self.stopped_by is not None

    @property
    def stopped_by(self) -> Failed | None:
        """How the run ends, where what was allowed is used up."""
        return self._allowance.failed if self._allowance is not None and self._is_cut else None

    async def room(self) -> None:
        """Sink.room."""
        await self._writer.room()


class Generation:
    """One model call of one attempt and its place in the ledger. `usage` may be asked at any time: after an interruption
    it is estimated from what was written."""

    def __init__(self, call: ModelCall, answer: Answer, *, input_tokens: int) -> None:
        self.call, self.answer, self.input_tokens = call, answer, input_tokens
        self.result: Generated | None = None
        self.is_billed = False
        """The provider was asked and has not refused: what it used belongs in the ledger."""

    @property
    def usage(self) -> Usage:
        """The provider's own counts, else estimated ones."""
        if self.result is not None and self.result.usage is not None:
            return self.result.usage
        return estimated_usage(
            input_tokens=self.input_tokens,
            text_bytes=self.answer.text_bytes,
            reasoning_bytes=self.answer.reasoning_bytes,
        )

    @property
    def cost(self) -> int | None:
        """In micro-dollars; None where the price is unknown."""
        return cost_microusd(self.call.model, self.usage)


async def get_input(
    inputs: RunInputs, run_id: str, *, longest: float = 2.0, choose: Callable[[], float] = random.random
) -> RunInput:
    """What the run is made from; waits for as long as the conversation service is away. Raises RunGoneError."""
    policy = RetryPolicy(tries=1_000_000, first=0.05, longest=longest, budget=float("inf"))
    tried = 0
    while True:
        try:
            return await inputs.get(run_id)
        except InputUnavailableError as error:
            tried += 1
            logger.warning("input.unavailable", run_id=run_id, tried=tried, error=str(error))
            await asyncio.sleep(policy.delay(tried, elapsed=0, retry_after=None, random=choose()) or 0.01)


async def generate(
    models: Models,
    generation: Generation,
    *,
    policy: RetryPolicy,
    clock: Clock,
    run_id: str,
    choose: Callable[[], float] = random.random,
) -> Generated:
    """Call the model until it has answered; another try only while nothing was shown. Raises UpstreamError."""
    began, tried = clock.monotonic(), 0
    while True:
        generation.is_billed = True
        try:
            generation.result = await models.generate(generation.call, generation.answer)
        except UpstreamError as error:
            tried += 1
            generation.is_billed = generation.answer.has_shown
            wait = None
            if error.retryable and not generation.answer.has_shown:
                elapsed = clock.monotonic() - began
                wait = policy.delay(tried, elapsed=elapsed, retry_after=error.retry_after, random=choose())
            logger.warning(
                "model.failed", run_id=run_id, code=error.code.value, detail=error.detail, tried=tried, retry_in=wait
            )
            if wait is None:
                raise
            await asyncio.sleep(wait)
        else:
            return generation.result
