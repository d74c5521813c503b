"""What was used and spent, and what may be spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.budgets import BudgetLimits, DaySpending


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """What some calls used and cost. `day` and `model` are empty where all are summed up. `cost_microusd` is that of the calls
    whose price is known; the others are counted in `unpriced_calls`."""

    day: str
    model: str
    user_id: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_microusd: int
    unpriced_calls: int
    estimated_calls: int
    retried_calls: int
    retried_cost_microusd: int
    estimated_cost_microusd: int


class Spending(Protocol):
    """The ledger's sums. Raises Refusal where it does not answer."""

    async def sums(self, user_id: str, since: str, *, by_user: bool) -> Sequence[UsageSum]:
        """Of one user or of all (empty), since a time of RFC 3339; by user, or by day and model."""


class BudgetStore(Protocol):
    """Limits and what is taken of them. Raises bus.errors.BusError where the broker does not answer."""

    async def limits(self) -> tuple[BudgetLimits, int]:
        """The limits in force and their revision, 0 for the built-in ones."""

    async def change(self, limits: BudgetLimits, *, expected: int) -> int:
        """Put limits in force everywhere; raises RevisionConflictError where somebody was first."""

    async def day(self, key: str) -> DaySpending:
        """What one user has spent and set aside on one day (contracts.budgets.day_key)."""
