"""When a provider wants to be asked again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_RESETS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens", "x-ratelimit-reset")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait: `Retry-After` as seconds or as a date (RFC 9110 10.2.3), else `x-ratelimit-reset-*` as seconds or as a
    span like `1m30s`; None where nothing was said or it cannot be read."""
    said = headers.get("Retry-After", "").strip()
    if said:
        seconds = _seconds(said)
        return seconds if seconds is not None else _until(said, now)
    spans = [_seconds(headers[name].strip()) for name in _RESETS if name in headers]
    found = [span for span in spans if span is not None]
    # The requests' and the tokens' limit are told apart; which one was hit is not, so the longer wait counts.
    return max(found) if found else None


def _seconds(said: str) -> float | None:
    try:
        value = float(said)
    except ValueError:
        spans = _SPAN.findall(said)
        if not spans or "".join(number + unit for number, unit in spans) != said:
            return None
        return sum(float(number) * _SECONDS[unit] for number, unit in spans)
    return value if 0 <= value < 1e9 else None


def _until(said: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
