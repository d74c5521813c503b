"""Budgets of a user and a day: a call is stopped in the middle, the bill is whole, and nobody else notices."""

import asyncio
from typing import Any

import httpx2
import pytest
from contracts.ids import user_id_of
from gateway.domain.identity import DEV_ISSUER

from tests.mesh import Mesh, create_thread, send, stored_answer

LIMIT = 120
"""Micro-dollars; an output token of gpt-4o-mini costs 0.6."""


async def set_budgets(mesh: Mesh, body: dict[str, Any]) -> None:
    async with mesh.client() as client:
        client.headers["authorization"] = f"Bearer {mesh.token(role='admin')}"
        etag = (await client.get("/v1/admin/budgets")).headers["etag"]
        stale = await client.put("/v1/admin/budgets?why=test", json=body, headers={"if-match": '"999999999"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "revision_conflict")
        changed = await client.put("/v1/admin/budgets?why=test", json=body, headers={"if-match": etag})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["why"], changed.json()["users"]) == ("test", body["users"])


async def usage(client: httpx2.AsyncClient) -> dict[str, Any]:
    response = await client.get("/v1/me/usage")
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_a_budget_stops_a_call_in_the_middle_and_the_next_before_it_begins(mesh: Mesh) -> None:
    poor = user_id_of(DEV_ISSUER, "poor")
    await set_budgets(mesh, {"users": {poor: LIMIT}})
    # A change is in force at every worker within a second.
    await asyncio.sleep(1)
    try:
        async with mesh.client(user="poor") as client, mesh.client(user="rich") as rich:
            thread = await create_thread(client)
            answer = await stored_answer(client, thread, (await send(client, thread, "tokens=2000"))["run_id"])
            assert (answer["status"], answer["error"]["code"]) == ("error", "budget_reached")
            # The whole answer would cost 1,200, and all of it comes in a read or two.
            assert 0 < answer["cost_microusd"] <= LIMIT
            assert answer["content"], "what was paid for is kept"
            for _ in range(6):
                again = await stored_answer(client, thread, (await send(client, thread, "tokens=2000"))["run_id"])
                assert (again["status"], again["error"]["code"]) == ("error", "budget_reached")
            mine = await usage(client)
            assert mine["budget"]["limit_microusd"] == LIMIT
            assert mine["budget"]["spent_microusd"] == mine["total"]["cost_microusd"] <= LIMIT
            assert mine["budget"]["reserved_microusd"] == 0
            thread = await create_thread(rich)
            whole = await stored_answer(rich, thread, (await send(rich, thread, "tokens=300"))["run_id"])
            assert whole["status"] == "complete"
            theirs = await usage(rich)
            assert theirs["budget"]["limit_microusd"] is None
            assert theirs["total"]["cost_microusd"] == whole["cost_microusd"]
            (row,) = theirs["items"]
            assert (row["model"], row["calls"], row["output_tokens"]) == ("openai:gpt-4o-mini", 1, 300)
    finally:
        await set_budgets(mesh, {"users": {}})


async def test_administrators_see_what_all_have_used_and_others_do_not(mesh: Mesh) -> None:
    async with mesh.client(user="spender") as client:
        thread = await create_thread(client)
        answer = await stored_answer(client, thread, (await send(client, thread, "tokens=40"))["run_id"])
        refused = await client.get("/v1/admin/usage")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        client.headers["authorization"] = f"Bearer {mesh.token(role='admin')}"
        everything = (await client.get("/v1/admin/usage?days=1")).json()
    users = {row["user_id"]: row for row in everything["users"]}
    assert users[user_id_of(DEV_ISSUER, "spender")]["cost_microusd"] == answer["cost_microusd"]
    assert everything["total"]["cost_microusd"] == sum(row["cost_microusd"] for row in everything["users"])


@pytest.mark.parametrize(
    "body", [{"default": -1}, {"users": {"nobody": 1}}, {"daily": 3}], ids=["negative", "no id", "slip"]
)
async def test_budgets_that_make_no_sense_are_refused(mesh: Mesh, body: dict[str, Any]) -> None:
    async with mesh.client() as client:
        client.headers["authorization"] = f"Bearer {mesh.token(role='admin')}"
        refused = await client.put("/v1/admin/budgets?why=test", json=body, headers={"if-match": '"0"'})
    assert (refused.status_code, refused.json()["code"]) == (422, "body_invalid")
