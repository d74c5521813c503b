"""Times as they are written: RFC 3339, UTC, milliseconds, `Z`."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """`2026-11-21T03:17:47.123Z` of an aware datetime."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Read it back; raises ValueError."""
    return datetime.fromisoformat(text)
