"""Key-value buckets over the bus. A bucket is a stream whose entries are the revisions of its keys (contracts.topology.FLAGS);
reading and watching are the bus's own `last_of`, `read_stream` and `follow_stream`, writing is compare-and-set."""

from typing import Protocol

from bus.api import Bus


class KeyValues(Bus, Protocol):
    """A bus that can also change a value of a bucket. Its revision is the stream sequence of its last entry, 0 if none."""

    async def compare_and_set(self, stream: str, subject: str, data: bytes, *, expected: int) -> int:
        """Store `data` if the last entry of `subject` is still the one at `expected`; returns the new revision. Retries for
        up to 30 s. Raises RevisionConflictError (nothing was stored), StreamFullError, UnavailableError (it may be stored)."""
