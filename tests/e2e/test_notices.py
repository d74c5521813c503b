"""Who is not watching is told, on the whole mesh: unread counts on two devices, webhooks, push, and a notifier that is killed."""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook as Verifier

from tests.integration.notifier.world import Got, Server
from tests.mesh import Mesh, create_thread, send, to_the_end, watching
from tests.plain_http import plain_client


@pytest.fixture
async def receiver() -> AsyncIterator[Server]:
    made = Server()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def admin(mesh: Mesh) -> AsyncIterator[httpx2.AsyncClient]:
    """An administrator, who leaves no webhook behind."""
    headers = {"authorization": f"Bearer {mesh.token('root', 'admin')}"}
    async with plain_client(base_url=mesh.urls[1], headers=headers, timeout=30) as client:
        yield client
        for hook in (await client.get("/v1/webhooks")).json()["items"]:
            assert (await client.delete(f"/v1/webhooks/{hook['id']}")).status_code == 204


async def until(holds: Callable[[], Any], what: str, within: float = 30) -> None:
    """Until something holds, asked again and again; it may be a coroutine function."""
    async with asyncio.timeout(within):
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.05)


def events_of(receiver: Server, name: str) -> list[tuple[str, str]]:
    """`(type, webhook-id)` of all that came."""
    return [(json.loads(got.body)["type"], got.headers["webhook-id"]) for got in receiver.got.get(name, [])]


async def subscribe(admin: httpx2.AsyncClient, url: str, *events: str) -> dict[str, Any]:
    made = await admin.post("/v1/webhooks", json={"url": url, "events": list(events)})
    assert made.status_code == 201, made.text
    hook: dict[str, Any] = made.json()
    return hook


async def test_two_devices_a_webhook_and_a_browser(mesh: Mesh, admin: httpx2.AsyncClient, receiver: Server) -> None:
    hook = await subscribe(admin, f"{receiver.base}/hook", "message.accepted", "run.completed")
    seen: list[tuple[str, bool]] = []
    async with mesh.client(0, user="nina") as phone, mesh.client(1, user="nina") as laptop:

        async def unread() -> dict[str, int]:
            body = (await laptop.get("/v1/me/unread")).json()
            return {item["thread_id"]: item["unread"] for item in body["items"]}

        async def watch_feed() -> None:
            async with watching(laptop, "/v1/me/events") as feed:
                async for frame in feed:
                    seen.append((frame.json["type"], frame.json.get("unread", False)))

        thread = await create_thread(phone, title="Trip")
        point = ec.generate_private_key(ec.SECP256R1()).public_key()
        keys = [point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), b"0123456789abcdef"]
        p256dh, auth = (base64.urlsafe_b64encode(key).decode().rstrip("=") for key in keys)
        browser: dict[str, Any] = {"endpoint": f"{receiver.base}/browser", "keys": {"p256dh": p256dh, "auth": auth}}
        assert (await phone.get("/v1/me/push")).json()["public_key"]
        assert (await phone.post("/v1/me/push", json=browser)).status_code == 201
        following = asyncio.create_task(watch_feed())
        try:
            # Nobody watches: it is unread on all devices, the webhook and the browser are told.
            accepted = await send(phone, thread, "tokens=5")
            await until(lambda: ("run.completed", True) in seen, "the feed")
            await until(lambda: "browser" in receiver.got, "the browser")
            assert await unread() == {thread: 1}
            assert (await laptop.get("/v1/threads")).json()["items"][0]["unread"] == 1
            await until(lambda: len(events_of(receiver, "hook")) == 2, "the webhook")
            assert {kind for kind, _ in events_of(receiver, "hook")} == {"message.accepted", "run.completed"}
            for got in receiver.got["hook"]:
                event = Verifier(hook["secret"]).verify(got.body, got.headers)
                assert event["data"]["run_id"] == accepted["run_id"]

            # Somebody watches: nothing more is unread, and the browser stays silent.
            async with watching(laptop, f"/v1/threads/{thread}/events"):
                await until(lambda: _is_there(phone, thread), "presence")
                await send(phone, thread, "tokens=5")
                await until(lambda: [kind for kind, _ in seen].count("run.completed") == 2, "the feed")
            assert ("run.completed", False) in seen
            assert await unread() == {thread: 1}
            assert len(receiver.got["browser"]) == 1

            # Read on one device is read on all.
            assert (await phone.post(f"/v1/threads/{thread}/read")).json()["total"] == 0
            await until(lambda: ("thread.read", False) in seen, "the feed")
            assert await unread() == {}
            gone = await phone.delete("/v1/me/push", params={"endpoint": browser["endpoint"]})
            assert gone.status_code == 204
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _is_there(client: httpx2.AsyncClient, thread: str) -> bool:
    found = (await client.get(f"/v1/threads/{thread}/presence")).json()["items"]
    return any(item["connections"] for item in found)


async def test_what_happened_while_the_notifier_was_dead_is_waiting(
    mesh: Mesh, admin: httpx2.AsyncClient, receiver: Server
) -> None:
    await subscribe(admin, f"{receiver.base}/hook", "run.completed")
    async with mesh.client(0, user="otto") as client:
        thread = await create_thread(client)
        killed = mesh.signal("notifier-1", signal.SIGKILL)
        runs = [(await send(client, thread, "tokens=3"))["run_id"] for _ in range(3)]
        for run in runs:
            await to_the_end(client, run)
        await mesh.wait_ready(changed={"notifier-1": killed})
        await until(lambda: len({event for _, event in events_of(receiver, "hook")}) == 3, "the webhook")

        async def all_unread() -> bool:
            return bool((await client.get("/v1/me/unread")).json()["total"] == 3)

        await until(all_unread, "the feed")


async def test_a_dead_delivery_is_sent_again_by_an_administrator(
    mesh: Mesh, admin: httpx2.AsyncClient, receiver: Server
) -> None:
    async def gone(_: Got) -> web.Response:
        return web.Response(status=410)

    receiver.answers["hook"] = gone
    hook = await subscribe(admin, f"{receiver.base}/hook", "thread.created")
    path = f"/v1/webhooks/{hook['id']}/deliveries"

    async def listed(status: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await admin.get(path, params={"status": status})).json()["items"]
        return items

    async with mesh.client(0, user="pia") as client:
        await create_thread(client)
    await until(lambda: listed("dead"), "the dead delivery")
    (dead,) = await listed("dead")
    assert (dead["response"], dead["attempts"]) == (410, 1)
    receiver.answers.clear()

    async def paused() -> bool:
        found = (await admin.get(f"/v1/webhooks/{hook['id']}")).json()
        return not found["enabled"] and "gone for good" in found["disabled_reason"]

    await until(paused, "the pause")
    refused = await admin.post(f"{path}/{dead['id']}/replay")
    assert (refused.status_code, refused.json()["code"]) == (422, "webhook_invalid")
    assert (await admin.patch(f"/v1/webhooks/{hook['id']}", json={"enabled": True})).status_code == 200
    replayed = await admin.post(f"{path}/{dead['id']}/replay")
    assert (replayed.status_code, replayed.json()["status"]) == (202, "pending")
    await until(lambda: listed("delivered"), "the delivery")
    again = await admin.post(f"{path}/{dead['id']}/replay")
    assert (again.status_code, again.json()["code"]) == (409, "delivery_not_dead")
    assert len({event for _, event in events_of(receiver, "hook")}) == 1
