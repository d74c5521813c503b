"""A circuit breaker per provider: one that fails call after call is left alone for a while, and whoever has another model
goes to that one at once. (purgatory of the kept libraries: made for asyncio, and an error can be told apart by a predicate.)"""

import asyncio
import time

import structlog
from contracts.codes import RunFailure
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from inference.domain.upstream_errors import UpstreamError, unavailable
from inference.ports import Generated, ModelCall, Models, Sink

logger = structlog.get_logger()

_PROVIDERS_FAULT = frozenset({RunFailure.UPSTREAM_UNAVAILABLE, RunFailure.UPSTREAM_INCOMPLETE})


class BreakingModels:
    """Implements ports.Models around another. After `failures` calls in a row that failed through the provider's fault, none
    is made for `seconds`; then calls are let through again, and the first that fails closes the door once more. A limit on
    requests, a refusal, a call that a person stopped are no faults."""

    def __init__(self, inner: Models, *, failures: int, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=failures,
            default_ttl=seconds,
            exclude=[asyncio.CancelledError, (UpstreamError, _is_no_fault)],
        )
        self._breakers.add_listener(_log)

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        """See ports.Models."""
        breaker = await self._breakers.get_breaker(call.model.provider.name)
        try:
            async with breaker:
                return await self._inner.generate(call, sink)
        except OpenedState as opened:
            left = max(0.0, opened.opened_at + self._seconds - time.time())
            raise unavailable(
                "has failed several times in a row and is left alone for a moment",
                detail="circuit open",
                retry_after=left,
            ) from opened


def _is_no_fault(error: UpstreamError) -> bool:
    return error.code not in _PROVIDERS_FAULT


def _log(provider: str, what: str, event: object) -> None:
    if what == "state_changed":
        logger.warning("provider.circuit", provider=provider, state=getattr(event, "state", ""))
