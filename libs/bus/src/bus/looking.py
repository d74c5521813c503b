"""Looking at streams and consumers, for whoever shows them to an administrator. Apart from `Bus`: only gateways do."""

from dataclasses import dataclass
from typing import Protocol

from contracts.topology import Consumer, Stream

from bus.api import Bus


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLevel:
    """What a stream holds."""

    messages: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLevel:
    """How far a consumer is. `pending` were never delivered, `ack_pending` are in hand, `redelivered` of those not for the first
    time. `oldest_at` is when the oldest of the pending ones was stored, in seconds since 1970; None where nothing is pending."""

    pending: int
    ack_pending: int
    redelivered: int
    oldest_at: float | None


class Looking(Bus, Protocol):
    """A bus through which one can look at streams and consumers of the topology. Changes nothing."""

    async def stream_level(self, stream: Stream) -> StreamLevel | None:
        """None where the server has no such stream. Raises UnavailableError."""

    async def consumer_level(self, consumer: Consumer) -> ConsumerLevel | None:
        """None where the server has no such consumer. Raises UnavailableError."""
