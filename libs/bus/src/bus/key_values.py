"""Key-value buckets over the bus. A bucket is a stream whose entries are the revisions of its keys (contracts.topology.FLAGS);
reading and watching are the bus's own `last_of`, `read_stream` and `follow_stream`, writing is compare-and-set."""

from typing import Final, Protocol

from bus.api import Bus

LIFE_HEADER: Final = "Nats-TTL"


def expiring(seconds: int) -> dict[str, str]:
    """Headers for `Bus.publish` with which an entry goes by itself after at least so many whole seconds, where the stream
    allows it (`Stream.allow_msg_ttl`)."""
    return {LIFE_HEADER: f"{max(1, seconds)}s"}


class KeyValues(Bus, Protocol):
    """A bus that can also change a value of a bucket. Its revision is the stream sequence of its last entry, 0 if none."""

    async def compare_and_set(self, stream: str, subject: str, data: bytes, *, expected: int) -> int:
        """Store `data` if the last entry of `subject` is still the one at `expected`; returns the new revision. Retries for
        up to 30 s. Raises RevisionConflictError (nothing was stored), StreamFullError, UnavailableError (it may be stored)."""
