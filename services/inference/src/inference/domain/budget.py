"""Setting money aside for a call, and giving back what it did not cost."""

from typing import Final

from contracts.budgets import DaySpending, Reservation

RESERVATION_SECONDS: Final = 2 * 3600.0
"""Longer than any call. What was reserved and not settled until then counts as spent: a worker died and nobody knows."""
REMEMBERED: Final = 64
TIMES_ESTIMATE: Final = 4
"""A call may cost so many times its estimate (its input alone) even where that is more than half of what is left."""


def expire(day: DaySpending, now: float) -> None:
    """Count as spent what nobody has settled in time."""
    for key in [key for key, reservation in day.reserved.items() if reservation.until <= now]:
        day.spent += day.reserved.pop(key).amount


def reserve(day: DaySpending, key: str, estimate: int, *, limit: int, now: float) -> int:
    """Set money aside for the call `key` and return the most that it may cost; 0 where less than its estimate is left.

    A call may take half of what is left, so that the user's other calls find something too; near the end, where half would
    not go far, several times its estimate, as far as that is there. The same key again gets the same answer.
    """
    expire(day, now)
    held = day.reserved.get(key)
    if held is not None:
        return held.amount
    for lost in [other for other in day.reserved if _is_lost(other, key)]:
        # Its worker died. If the call had begun, whoever took the run over settles what it cost; else it cost nothing.
        del day.reserved[lost]
    left = limit - day.taken
    if left <= 0 or left < estimate:
        return 0
    amount = max(left // 2, min(left, max(1, estimate) * TIMES_ESTIMATE))
    day.reserved[key] = Reservation(amount=amount, until=now + RESERVATION_SECONDS)
    # Where it is made again, as after the provider refused the prefix, what it costs now is still to be settled.
    day.costs.pop(key, None)
    return amount


def call_key(run_id: str, step: int, attempt: int, model: str) -> str:
    """What a model call is called in the user's budget."""
    return f"{run_id}:{step}:{attempt}:{model}"


def _is_lost(key: str, by: str) -> bool:
    """Whether `key` is of an earlier attempt at the run that the call `by` belongs to."""
    held, call = key.split(":", 3), by.split(":", 3)
    return len(held) == len(call) == 4 and held[0] == call[0] and int(held[2]) < int(call[2])


def settle(day: DaySpending, key: str, spent: int) -> bool:
    """The call has ended: what it cost is spent, the rest is free. False, changing nothing, where it was settled before."""
    if key in day.costs:
        return False
    correct(day, key, spent)
    return True


def correct(day: DaySpending, key: str, cost: int) -> None:
    """The call costs this, whatever it was settled at; the rest of what was set aside for it is free."""
    day.reserved.pop(key, None)
    day.spent += cost - day.costs.pop(key, 0)
    day.costs[key] = cost
    for oldest in list(day.costs)[:-REMEMBERED]:
        del day.costs[oldest]
