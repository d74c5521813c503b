"""Budgets in key-value buckets of the broker, as inference keeps them."""

import msgspec
from bus.key_values import KeyValues
from contracts import topology
from contracts.budgets import BudgetLimits, DaySpending, decode_limits, decode_spending
from contracts.subjects import budget_subject, flag_subject

LIMITS = flag_subject("budgets")


class BudgetBucket:
    """domain.spending.BudgetStore."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus = bus

    async def limits(self) -> tuple[BudgetLimits, int]:
        """See domain.spending.BudgetStore."""
        last = await self._bus.last_of(topology.FLAGS.name, LIMITS)
        return (decode_limits(last.data), last.stream_sequence) if last is not None else (BudgetLimits(), 0)

    async def change(self, limits: BudgetLimits, *, expected: int) -> int:
        """See domain.spending.BudgetStore."""
        data = msgspec.json.encode(limits)
        return await self._bus.compare_and_set(topology.FLAGS.name, LIMITS, data, expected=expected)

    async def day(self, key: str) -> DaySpending:
        """See domain.spending.BudgetStore."""
        last = await self._bus.last_of(topology.BUDGETS.name, budget_subject(key))
        return decode_spending(last.data) if last is not None else DaySpending()
