"""Sums of the ledger, by the database itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

from conversation.adapters.mongo_ledger import MongoLedger
from conversation.adapters.schema import LEDGER, prepare
from store.database import connect
from ulid import ULID

from tests.servers import MongoServer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def entry(
    number: int, user: str, model: str, cost: int | None, *, attempt: int = 1, days_ago: int = 0
) -> dict[str, Any]:
    return {
        "_id": f"{user}:{number}",
        "user_id": user,
        "attempt": attempt,
        "model": model,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cached_tokens": 2,
            "reasoning_tokens": 1,
            "estimated": attempt > 1,
        },
        "cost_microusd": cost,
        "booked_at": NOW - timedelta(days=days_ago),
    }


async def test_sums_by_day_and_by_user(mongo: MongoServer) -> None:
    database = await connect(mongo.uri.replace("/?", f"/test_{ULID()}?"), application="test")
    await prepare(database)
    await database.collection(LEDGER).insert_many(
        [
            entry(1, "usr_a", "m1", 100),
            entry(2, "usr_a", "m1", None, attempt=2),
            entry(3, "usr_a", "m2", 7, days_ago=1),
            entry(4, "usr_a", "m1", 1000, days_ago=40),
            entry(5, "usr_b", "m1", 500),
            entry(6, "usr_b", "m1", 40, attempt=2),
        ]
    )
    ledger, since = MongoLedger(database), NOW - timedelta(days=30)
    mine = await ledger.sums("usr_a", since, by_user=False)
    assert [(row.day, row.model, row.calls, row.cost_microusd) for row in mine] == [
        ("2026-11-21", "m1", 2, 100),
        ("2026-11-20", "m2", 1, 7),
    ]
    assert (mine[0].unpriced_calls, mine[0].estimated_calls, mine[0].retried_calls) == (1, 1, 1)
    assert (mine[0].input_tokens, mine[0].output_tokens, mine[0].cached_tokens, mine[0].reasoning_tokens) == (
        20,
        10,
        4,
        2,
    )
    assert (mine[0].retried_cost_microusd, mine[0].estimated_cost_microusd) == (0, 0)
    everybody = await ledger.sums("", since, by_user=True)
    assert [(row.user_id, row.calls, row.cost_microusd) for row in everybody] == [("usr_b", 2, 540), ("usr_a", 3, 107)]
    # What was spent a second time, and what was spent on calls that were broken off.
    assert (everybody[0].retried_cost_microusd, everybody[0].estimated_cost_microusd) == (40, 40)
    await database.close()
