"""Key-value buckets over the bus. A bucket is a stream whose entries are the revisions of its keys (contracts.topology.FLAGS);
reading and watching are the bus's own `last_of`, `read_stream` and `follow_stream`, writing is compare-and-set."""

from typing import Final, Protocol

from bus.api import Bus

LIFE_HEADER: Final = "Nats-TTL"
PUT_BUDGET: Final = 5.0


class KeyValues(Bus, Protocol):
    """A bus that can also change a value of a bucket. Its revision is the stream sequence of its last entry, 0 if none."""

    async def compare_and_set(self, stream: str, subject: str, data: bytes, *, expected: int) -> int:
        """Store `data` if the last entry of `subject` is still the one at `expected`; returns the new revision. Retries for
        up to 30 s. Raises RevisionConflictError (nothing was stored), StreamFullError, UnavailableError (it may be stored)."""


class Expiring(Bus, Protocol):
    """A bus that can also say something for a while."""

    async def put(self, subject: str, data: bytes, *, seconds: int) -> int:
        """Store a value of a bucket whatever was there, on a stream with `allow_msg_ttl`; it goes by itself after so many
        seconds, one at least. Retries for PUT_BUDGET seconds only, and makes no span: what expires is soon said again.
        Returns the revision. Raises StreamFullError, UnavailableError."""
