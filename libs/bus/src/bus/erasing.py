"""Erasing what streams hold, for whoever must leave nothing behind. Apart from `Bus`: only conversation may."""

from typing import Protocol

from bus.api import Bus


class Erasing(Bus, Protocol):
    """A bus that can also erase. Everything here is idempotent and raises UnavailableError, after which it may be done."""

    async def purge(self, stream: str, subject_filter: str) -> int:
        """Delete every entry that the filter covers; returns how many there were."""

    async def erase(self, stream: str, stream_sequence: int) -> None:
        """Overwrite and delete one entry; harmless where there is none."""

    async def subjects_of(self, stream: str, subject_filter: str) -> list[str]:
        """Every subject under the filter that has an entry."""
