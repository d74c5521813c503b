"""Sums of the ledger on MongoDB."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from store.database import Database
from store.faults import translated

from conversation.adapters.schema import LEDGER
from conversation.domain.spending import UsageSum

MOST: Final = 10_000


class MongoLedger:
    """handlers.sum_usage.Ledger over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, user_id: str, since: datetime, *, by_user: bool) -> Sequence[UsageSum]:
        """See handlers.sum_usage.Ledger."""
        match: dict[str, Any] = {"booked_at": {"$gte": since}}
        if user_id:
            match["user_id"] = user_id
        group: dict[str, Any] = {"user_id": "$user_id"}
        if not by_user:
            group |= {"model": "$model", "day": {"$dateToString": {"format": "%Y-%m-%d", "date": "$booked_at"}}}
        pipeline: list[dict[str, Any]] = [
            {"$match": match},
            {
                "$group": {
                    "_id": group,
                    "calls": {"$sum": 1},
                    **{name: {"$sum": f"$usage.{name}"} for name in _TOKENS},
                    "cost_microusd": {"$sum": "$cost_microusd"},
                    "priced": {"$sum": {"$cond": [{"$eq": [{"$type": "$cost_microusd"}, "null"]}, 0, 1]}},
                    "estimated": {"$sum": {"$cond": [_ESTIMATED, 1, 0]}},
                    "retried": {"$sum": {"$cond": [_RETRIED, 1, 0]}},
                    "retried_cost": {"$sum": {"$cond": [_RETRIED, "$cost_microusd", 0]}},
                    "estimated_cost": {"$sum": {"$cond": [_ESTIMATED, "$cost_microusd", 0]}},
                }
            },
            {"$sort": {"cost_microusd": -1, "_id": 1} if by_user else {"_id.day": -1, "_id.model": 1}},
            {"$limit": MOST},
        ]
        with translated():
            cursor = await self._database.collection(LEDGER).aggregate(pipeline)
            return [_sum(found) for found in await cursor.to_list()]


_RETRIED: Final = {"$gt": ["$attempt", 1]}
_ESTIMATED: Final = {"$eq": ["$usage.estimated", True]}
_TOKENS: Final = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def _sum(found: dict[str, Any]) -> UsageSum:
    group = found["_id"]
    return UsageSum(
        day=group.get("day", ""),
        model=group.get("model", ""),
        user_id=group["user_id"],
        calls=found["calls"],
        input_tokens=found["input_tokens"],
        output_tokens=found["output_tokens"],
        cached_tokens=found["cached_tokens"],
        reasoning_tokens=found["reasoning_tokens"],
        cost_microusd=found["cost_microusd"],
        unpriced_calls=found["calls"] - found["priced"],
        estimated_calls=found["estimated"],
        retried_calls=found["retried"],
        retried_cost_microusd=found["retried_cost"],
        estimated_cost_microusd=found["estimated_cost"],
    )
