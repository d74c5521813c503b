"""What users may spend in a day, and what they have: values of the buckets `flags` (key `budgets`) and `budgets`.

A day is one of UTC. Amounts are whole micro-dollars. A call whose price is unknown costs nothing here: nobody can say what
it cost, and its ledger entry says so.
"""

from datetime import datetime, timedelta

import msgspec


class BudgetLimits(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Micro-dollars a user may spend in a day: `default` for everybody, `users` by user id in its place. None: no limit.
    Who changed it, when (RFC 3339) and why stand in it."""

    default: int | None = None
    users: dict[str, int | None] = {}
    changed_by: str = ""
    changed_at: str = ""
    why: str = ""

    def of(self, user_id: str) -> int | None:
        """What one user may spend in a day."""
        return self.users.get(user_id, self.default)


class Reservation(msgspec.Struct, kw_only=True):
    """Set aside for a call under way. After `until` (seconds since 1970) nobody will settle it: it counts as spent."""

    amount: int
    until: float


class DaySpending(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a user has spent in a day, what is set aside by the calls' keys, and what the calls settled lately have cost (the
    newest 64, so that settling twice counts once)."""

    spent: int = 0
    reserved: dict[str, Reservation] = {}
    costs: dict[str, int] = {}

    @property
    def taken(self) -> int:
        """Spent or set aside."""
        return self.spent + sum(reservation.amount for reservation in self.reserved.values())


def day_key(user_id: str, now: datetime) -> str:
    """The key of a user's day in the bucket `budgets`."""
    return f"{user_id}-{now:%Y%m%d}"


def next_day(now: datetime) -> datetime:
    """When the day's budget begins anew."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


_limits = msgspec.json.Decoder(BudgetLimits)
_spending = msgspec.json.Decoder(DaySpending)


def decode_limits(data: bytes) -> BudgetLimits:
    """Read limits; raises msgspec.ValidationError or msgspec.DecodeError with the place of the mistake, ValueError for a
    negative amount."""
    limits = _limits.decode(data)
    if any(amount is not None and amount < 0 for amount in (limits.default, *limits.users.values())):
        raise ValueError("a budget is 0 or more micro-dollars a day, or null for none")
    return limits


def decode_spending(data: bytes) -> DaySpending:
    """Read a day's spending; raises msgspec.ValidationError."""
    return _spending.decode(data)
