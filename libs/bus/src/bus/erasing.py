"""Erasing what streams hold, for whoever must leave nothing behind. Apart from `Bus`: only conversation may, and the notifier where
something has its share."""

from typing import Protocol

from bus.api import Bus


class Erasing(Bus, Protocol):
    """A bus that can also erase. Everything here is idempotent and raises UnavailableError, after which it may be done."""

    async def purge(self, stream: str, subject_filter: str, *, keep: int = 0) -> int:
        """Delete every entry that the filter covers but for the last `keep`; returns how many were deleted."""

    async def erase(self, stream: str, stream_sequence: int) -> None:
        """Overwrite and delete one entry; harmless where there is none."""

    async def subjects_of(self, stream: str, subject_filter: str) -> list[str]:
        """Every subject under the filter that has an entry."""
