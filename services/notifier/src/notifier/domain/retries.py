"""When a delivery to a webhook is tried again, and when it is given up."""

from collections.abc import Sequence
from typing import Final

STANDARD_WAITS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)
"""Seconds after the first, second, … failed attempt: the tenth and last comes after about sixteen hours."""
LONGEST_RETRY_AFTER: Final = 3600.0
GONE: Final = 410
"""The receiver says that it is gone for good: nothing more is sent to it."""


def wait_after(
    attempts: int, *, status: int, age: float, retry_after: float, waits: Sequence[float], chance: float
) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones; None: it is dead.

    `age` is that of the event, in seconds: one that had to wait behind others for longer than all waits together is tried
    once and then given up, so that a receiver that comes back is told of what is new. A receiver that asks for more time
    gets it, within an hour; one that says it is gone for good is believed. `chance` (0 to 1) spreads the attempts.
    """
    if status == GONE or attempts > len(waits) or age > max(sum(waits) * 1.5, 60.0):
        return None
    wait = waits[attempts - 1] * (0.9 + 0.2 * chance)
    return max(wait, min(retry_after, LONGEST_RETRY_AFTER))
