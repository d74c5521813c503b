"""Calls that make something, repeated with one idempotency key, or named by what is none."""

import asyncio

import httpx2
import pytest

from tests.integration.gateway.world import World

WANTED = {"url": "https://hooks.example.com/x", "events": ["run.failed"]}
ONCE = {"idempotency-key": "once"}


def refused(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_a_webhook_is_made_once_and_its_secret_is_not_lost_with_the_answer(world: World) -> None:
    async with world.client("root", role="admin") as admin, world.client("rita", role="admin") as other:
        answers = await asyncio.gather(*(admin.post("/v1/webhooks", json=WANTED, headers=ONCE) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({(answer.json()["id"], answer.json()["secret"]) for answer in answers}) == 1
        made = answers[0].json()
        assert made["secret"].startswith("whsec_")
        assert [hook["id"] for hook in (await admin.get("/v1/webhooks")).json()["items"]] == [made["id"]]

        for another in ({"url": "https://hooks.example.com/y"}, {"events": ["run.completed"]}, {"enabled": False}):
            again = await admin.post("/v1/webhooks", json=WANTED | another, headers=ONCE)
            assert refused(again) == (422, "idempotency_mismatch")
        # It is the same request, whatever became of the webhook since.
        await admin.patch(f"/v1/webhooks/{made['id']}", json={"description": "ours"})
        again = await admin.post("/v1/webhooks", json=WANTED, headers=ONCE)
        assert (again.json()["id"], again.json()["description"]) == (made["id"], "ours")

        theirs = (await other.post("/v1/webhooks", json=WANTED, headers=ONCE)).json()
        unnamed = (await admin.post("/v1/webhooks", json=WANTED)).json()
        listed = (await admin.get("/v1/webhooks")).json()["items"]
        assert listed[0]["id"] == made["id"], "the oldest first, whatever its id"
        assert {hook["id"] for hook in listed[1:]} == {theirs["id"], unnamed["id"]}

        await admin.delete(f"/v1/webhooks/{made['id']}")
        gone = await admin.post("/v1/webhooks", json=WANTED, headers=ONCE)
        assert refused(gone) == (404, "webhook_not_found")


@pytest.mark.parametrize("key", ["", "k" * 201, "a\tb"])
async def test_a_key_that_is_none_is_refused_and_nothing_is_made(world: World, key: str) -> None:
    async with world.client("root", role="admin") as admin:
        thread = await world.thread(admin)
        for path, body in (
            ("/v1/threads", {"title": "x"}),
            (f"/v1/threads/{thread}/messages", {"content": "x"}),
            ("/v1/webhooks", WANTED),
        ):
            response = await admin.post(path, json=body, headers={"idempotency-key": key})
            assert refused(response) == (400, "idempotency_key_invalid"), path
        assert (await admin.get("/v1/webhooks")).json()["items"] == []
    assert (len(world.conversation.threads), world.conversation.accepts) == (1, 0)
