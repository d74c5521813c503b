"""Unread counts, webhooks and push at the door: what is shown, and what is refused with which code."""

import asyncio
import base64
from typing import Any

import httpx2
import msgspec
import pytest
from bus.errors import UnavailableError
from bus.looking import ConsumerLevel
from contracts.ids import FACT, THREAD, WEBHOOK, new_id, user_id_of
from contracts.subjects import PUSH_KEY, device_subject, webhook_result_subject, webhook_subject, webhook_work_subject
from contracts.topology import DEVICES, WEBHOOK_RESULTS, WEBHOOK_WORK, WEBHOOKS, Consumer
from contracts.webhooks import EVENT_TYPES, WebhookResult, WebhookWork, decode_webhook, encode

from tests.integration.gateway.world import ISSUER, World

POINT = base64.urlsafe_b64encode(b"\x04" + b"p" * 64).rstrip(b"=").decode()
AUTH = base64.urlsafe_b64encode(b"a" * 16).rstrip(b"=").decode()
BROWSER: dict[str, Any] = {
    "endpoint": "https://push.example.com/x",
    "expirationTime": None,
    "keys": {"p256dh": POINT, "auth": AUTH},
}


def refused(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def unread(client: httpx2.AsyncClient) -> dict[str, int]:
    body = (await client.get("/v1/me/unread")).json()
    assert body["total"] == sum(item["unread"] for item in body["items"])
    return {item["thread_id"]: item["unread"] for item in body["items"]}


async def test_what_is_unread_is_the_same_on_every_device_and_in_every_list(world: World) -> None:
    async with world.client() as phone, world.client() as laptop, world.client("eve") as stranger:
        one, two = await world.thread(phone), await world.thread(phone)
        for thread in (one, one, two):
            await world.feed("ada", type="run.completed", thread_id=thread, unread=True)
        await world.feed("ada", type="run.completed", thread_id=one)  # while watching
        assert await unread(phone) == {one: 2, two: 1} == await unread(laptop)
        listed = (await phone.get("/v1/threads")).json()["items"]
        assert {item["id"]: item["unread"] for item in listed} == {one: 2, two: 1}
        assert (await phone.get(f"/v1/threads/{one}")).json()["unread"] == 2

        cursor = (await phone.get("/v1/me/unread")).json()["cursor"]
        async with laptop.stream("GET", "/v1/me/events", params={"cursor": cursor}) as feed:
            # What came after the cursor is not read by it.
            await world.feed("ada", type="run.waiting", thread_id=one, unread=True)
            read = await phone.post(f"/v1/threads/{one}/read", json={"cursor": cursor})
            assert (read.status_code, read.json()["total"]) == (200, 2)
            lines = feed.aiter_lines()
            async with asyncio.timeout(10):
                types = [line async for line in _events(lines, 2)]
        assert types == ["run.waiting", "thread.read"]
        assert await unread(laptop) == {one: 1, two: 1}
        assert (await laptop.post(f"/v1/threads/{one}/read")).json()["total"] == 1
        stored = world.broker.streams["FEEDS"].last_sequence
        assert (await phone.post(f"/v1/threads/{one}/read")).json()["total"] == 1
        assert world.broker.streams["FEEDS"].last_sequence == stored, "nothing was unread, so nothing is written"
        await world.feed("ada", type="thread.deleted", thread_id=two)
        assert await unread(phone) == {}
        assert refused(await stranger.post(f"/v1/threads/{one}/read")) == (404, "thread_not_found")
        assert refused(await phone.post(f"/v1/threads/{one}/read", json={"cursor": "x"})) == (400, "cursor_invalid")
        assert refused(await phone.post(f"/v1/threads/{new_id(THREAD)}/read")) == (404, "thread_not_found")


async def _events(lines: Any, count: int) -> Any:
    async for line in lines:
        if line.startswith("event: "):
            yield line.removeprefix("event: ")
            count -= 1
            if not count:
                return


async def test_threads_are_listed_while_the_broker_is_away(world: World) -> None:
    async with world.client() as client:
        await world.thread(client)

        async def away(stream: str, subject: str) -> None:
            raise UnavailableError("away")

        world.bus.last_of = away  # type: ignore[method-assign,assignment]  # the bus in memory reads without the broker
        shown = (await client.get("/v1/threads")).json()["items"][0]
        assert (shown["unread"], shown["as_stored"]) == (0, True)
        assert refused(await client.get("/v1/me/unread")) == (503, "unavailable")


async def test_webhooks_from_their_making_to_their_end(world: World) -> None:
    async with world.client("root", role="admin") as admin, world.client() as user:
        assert refused(await user.get("/v1/webhooks")) == (403, "forbidden")
        wanted = {"url": "https://hooks.example.com/x", "events": ["run.failed", "run.completed"]}
        made = await admin.post("/v1/webhooks", json=wanted)
        assert made.status_code == 201, made.text
        hook = made.json()
        assert hook["secret"].startswith("whsec_")
        assert len(base64.b64decode(hook["secret"][6:])) == 32
        assert hook["events"] == ["run.completed", "run.failed"]
        path = f"/v1/webhooks/{hook['id']}"
        assert (await admin.get(path)).json()["secret"] is None
        listed = (await admin.get("/v1/webhooks")).json()
        assert [item["id"] for item in listed["items"]] == [hook["id"]]
        assert listed["event_types"] == list(EVENT_TYPES)

        rotated = (await admin.post(f"{path}/secret", json={"overlap_seconds": 60})).json()
        assert rotated["secret"] != hook["secret"]
        assert [kept["until"] is None for kept in rotated["secrets"]] == [True, False]
        at_once = (await admin.post(f"{path}/secret", json={"overlap_seconds": 0})).json()
        assert len(at_once["secrets"]) == 1
        changed = (await admin.patch(path, json={"enabled": False, "events": list(EVENT_TYPES)})).json()
        assert (changed["enabled"], changed["url"], changed["events"]) == (False, wanted["url"], list(EVENT_TYPES))

        assert (await admin.delete(path)).status_code == 204
        last = await world.bus.last_of(WEBHOOKS.name, webhook_subject(hook["id"]))
        assert last is not None
        assert decode_webhook(last.data).secrets == [], "no secret is kept of a deleted one"
        for response in (await admin.get(path), await admin.delete(path), await admin.get(f"{path}/deliveries")):
            assert refused(response) == (404, "webhook_not_found")


async def test_a_secret_is_shown_where_it_was_made_or_not_made(world: World) -> None:
    async with world.client("root", role="admin") as admin:
        looked = world.bus.consumer_level

        async def away(consumer: Consumer) -> None:
            raise UnavailableError("away")

        world.bus.consumer_level = away  # type: ignore[method-assign]  # of the broker only this does not answer
        made = await admin.post("/v1/webhooks", json={"url": "https://hooks.example.com/x", "events": ["run.failed"]})
        assert (made.status_code, made.json()["queue"]["waiting"]) == (201, 0)
        path = f"/v1/webhooks/{made.json()['id']}"
        assert refused(await admin.post(f"{path}/secret", json={"overlap_seconds": 0})) == (503, "unavailable")
        world.bus.consumer_level = looked  # type: ignore[method-assign]  # it answers again
        last = await world.bus.last_of(WEBHOOKS.name, webhook_subject(made.json()["id"]))
        assert last is not None
        assert [kept.value for kept in decode_webhook(last.data).secrets] == [made.json()["secret"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://hooks.example.com/x"},
        {"url": "https://127.0.0.1/x"},
        {"url": "https://[::ffff:169.254.169.254]/x"},
        {"url": "https://ada:secret@hooks.example.com/"},
        {"url": "hooks.example.com"},
        {"events": ["run.exploded"]},
        {"events": []},
    ],
    ids=str,
)
async def test_a_webhook_that_cannot_be_is_refused(world: World, wrong: dict[str, Any]) -> None:
    async with world.client("root", role="admin") as admin:
        good = {"url": "https://hooks.example.com/x", "events": ["run.completed"]}
        assert refused(await admin.post("/v1/webhooks", json=good | wrong)) == (422, "webhook_invalid")
        made = (await admin.post("/v1/webhooks", json=good)).json()
        assert refused(await admin.patch(f"/v1/webhooks/{made['id']}", json=wrong)) == (422, "webhook_invalid")
        assert refused(await admin.get("/v1/webhooks/x")) == (404, "webhook_not_found")


async def test_deliveries_are_listed_and_only_a_dead_one_is_sent_again(world: World) -> None:
    async with world.client("root", role="admin") as admin:
        good = {"url": "https://hooks.example.com/x", "events": ["run.completed"]}
        hook = (await admin.post("/v1/webhooks", json=good)).json()["id"]
        path = f"/v1/webhooks/{hook}/deliveries"
        ids = {status: new_id(FACT) for status in ("delivered", "dead", "retrying")}
        for status, event in ids.items():
            work = WebhookWork(webhook_id=hook, event_id=event, type="run.completed", at="a", body="{}")
            result = WebhookResult(webhook_id=hook, event_id=event, type="run.completed", at="a", status=status)  # type: ignore[arg-type]  # each of them
            result.work = work if status == "dead" else None
            subject = webhook_result_subject(hook, event)
            await world.bus.compare_and_set(WEBHOOK_RESULTS.name, subject, encode(result), expected=0)
        seen, cursor = list[str](), ""
        while True:
            page = (await admin.get(path, params={"limit": 2, "cursor": cursor})).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == list(ids.values())
        for status in ids:
            assert [i["id"] for i in (await admin.get(path, params={"status": status})).json()["items"]] == [
                ids[status]
            ]
        assert refused(await admin.get(path, params={"cursor": "nonsense"})) == (400, "cursor_invalid")

        for status in ("delivered", "retrying"):
            assert refused(await admin.post(f"{path}/{ids[status]}/replay")) == (409, "delivery_not_dead")
        for unknown in (new_id(FACT), "x"):
            assert refused(await admin.post(f"{path}/{unknown}/replay")) == (404, "delivery_not_found")
        other = f"/v1/webhooks/{new_id(WEBHOOK)}/deliveries/{ids['dead']}/replay"
        assert refused(await admin.post(other)) == (404, "webhook_not_found")
        # Its receiver has said that it is gone: nothing is sent until somebody enables it, who is told why it is not.
        why = "The receiver answered 410, gone for good, at 2026-11-21T03:00:00.000Z."
        subject = webhook_subject(hook)
        last = await world.bus.last_of(WEBHOOKS.name, subject)
        assert last is not None
        paused = msgspec.structs.replace(decode_webhook(last.data), enabled=False, disabled_reason=why)
        await world.bus.compare_and_set(WEBHOOKS.name, subject, encode(paused), expected=last.stream_sequence)
        for replay in (f"{path}/{ids['dead']}/replay", f"/v1/webhooks/{hook}/replay"):
            told = await admin.post(replay)
            assert refused(told) == (422, "webhook_invalid")
            assert told.json()["detail"].endswith(f"enable it first. {why}")
        for change in ({"description": "x"}, {"enabled": False}):
            assert (await admin.patch(f"/v1/webhooks/{hook}", json=change)).json()["disabled_reason"] == why
        enabled = (await admin.patch(f"/v1/webhooks/{hook}", json={"enabled": True})).json()
        assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)

        # A notifier ended between recording that it is dead and settling it: what it left stands in nobody's way.
        left = WebhookWork(webhook_id=hook, event_id=ids["dead"], type="run.completed", at="a", body="{}")
        await world.bus.compare_and_set(
            WEBHOOK_WORK.name, webhook_work_subject(hook, ids["dead"]), encode(left), expected=0
        )
        both = await asyncio.gather(*(admin.post(f"{path}/{ids['dead']}/replay") for _ in range(2)))
        assert sorted(response.status_code for response in both) == [202, 409]
        assert [i["id"] for i in (await admin.get(path, params={"status": "pending"})).json()["items"]] == [ids["dead"]]
        assert (await admin.get(path, params={"status": "dead"})).json()["items"] == []


async def test_the_dead_deliveries_of_a_webhook_are_sent_again_as_many_as_it_has_room_for(world: World) -> None:
    async with world.client("root", role="admin") as admin:
        good = {"url": "https://hooks.example.com/x", "events": ["run.completed", "run.failed"]}
        hook, other = [(await admin.post("/v1/webhooks", json=good)).json()["id"] for _ in range(2)]
        path = f"/v1/webhooks/{hook}"

        async def die(webhook: str, hour: int, kind: str) -> str:
            event, at = new_id(FACT), f"2026-11-21T{hour:02}:00:00.000Z"
            work = WebhookWork(webhook_id=webhook, event_id=event, type=kind, at=at, body="{}")
            result = WebhookResult(webhook_id=webhook, event_id=event, type=kind, at=at, status="dead", work=work)
            subject = webhook_result_subject(webhook, event)
            await world.bus.compare_and_set(WEBHOOK_RESULTS.name, subject, encode(result), expected=0)
            return event

        async def again(**body: Any) -> tuple[int, bool, bool]:
            response = await admin.post(f"{path}/replay", json=body)
            assert response.status_code == 202, response.text
            answer = response.json()
            return answer["queued"], answer["full"], answer["next_cursor"] is None

        async def are(status: str) -> list[str]:
            found = await admin.get(f"{path}/deliveries", params={"status": status})
            return [item["id"] for item in found.json()["items"]]

        completed = [await die(hook, hour, "run.completed") for hour in range(8)]
        failed = [await die(hook, hour, "run.failed") for hour in range(4)]
        elsewhere = await die(other, 0, "run.completed")
        one = await admin.post(f"{path}/deliveries/{completed[7]}/replay")
        assert one.status_code == 202
        # At 05:00, by another clock; what is queued again already is not counted again.
        assert await again(event_type="run.completed", since="2026-11-21T07:00:00+02:00") == (2, False, True)
        assert await again(event_type="run.completed", since="2026-11-21T05:00:00Z") == (0, False, True)
        assert await again(event_type="run.failed", limit=3) == (3, False, False)
        assert await are("dead") == [*completed[:5], failed[3]]
        first = (await admin.post(f"{path}/replay", json={"limit": 2})).json()
        assert await again(limit=1, cursor=first["next_cursor"]) == (1, False, False)
        assert await are("dead") == [*completed[3:5], failed[3]]
        both = await asyncio.gather(again(), again())
        assert sum(queued for queued, _, _ in both) == 3, "of two at once each queues what the other does not"
        assert (await are("dead"), sorted(await are("pending"))) == ([], sorted(completed + failed))
        left = await admin.get(f"/v1/webhooks/{other}/deliveries", params={"status": "dead"})
        assert [item["id"] for item in left.json()["items"]] == [elsewhere]

        late = [await die(hook, 9, "run.failed") for _ in range(2)]

        looked, waiting = world.bus.consumer_level, [5000, 4999, 4999, 0]

        async def level(consumer: Consumer) -> ConsumerLevel:
            return ConsumerLevel(pending=waiting.pop(0), ack_pending=0, redelivered=0, oldest_at=None)

        world.bus.consumer_level = level  # type: ignore[method-assign]  # nothing takes from the queue here
        for answer, dead in ((0, True, False), 2), ((1, True, False), 1), ((1, True, False), 0):
            assert await again() == answer
            assert await are("dead") == late[2 - dead :]
        assert await again() == (0, False, True)
        world.bus.consumer_level = looked  # type: ignore[method-assign]  # as before

        for wrong, code in (
            ({"event_type": "run.exploded"}, "webhook_invalid"),
            ({"since": "yesterday"}, "body_invalid"),
            ({"since": "2026-11-21T05:00:00"}, "body_invalid"),
            ({"limit": 1001}, "body_invalid"),
        ):
            assert refused(await admin.post(f"{path}/replay", json=wrong)) == (422, code)
        assert refused(await admin.post(f"{path}/replay", json={"cursor": "x"})) == (400, "cursor_invalid")
        assert refused(await admin.post(f"/v1/webhooks/{new_id(WEBHOOK)}/replay")) == (404, "webhook_not_found")
        assert (await admin.patch(path, json={"enabled": False})).status_code == 200
        assert refused(await admin.post(f"{path}/replay")) == (422, "webhook_invalid")
    async with world.client() as somebody:
        assert refused(await somebody.post(f"{path}/replay")) == (403, "forbidden")


async def test_browsers_subscribe_renew_and_leave(world: World) -> None:
    async with world.client() as ada, world.client("bob") as bob:
        assert (await ada.get("/v1/me/push")).json() == {"public_key": None, "items": []}
        assert refused(await ada.post("/v1/me/push", json=BROWSER)) == (404, "not_found")
        await world.bus.compare_and_set(DEVICES.name, PUSH_KEY, b"KEY", expected=0)
        assert (await ada.get("/v1/me/push")).json()["public_key"] == "KEY"
        first = await ada.post("/v1/me/push", json=BROWSER)
        again = await ada.post("/v1/me/push", json=BROWSER | {"with_text": True})
        assert (first.status_code, first.json()["id"]) == (201, again.json()["id"])
        assert [item["with_text"] for item in (await ada.get("/v1/me/push")).json()["items"]] == [True]
        # Somebody else signs in with the same browser: it is theirs now.
        assert (await bob.post("/v1/me/push", json=BROWSER)).status_code == 201
        assert (await ada.get("/v1/me/push")).json()["items"] == []
        for _ in range(2):
            assert (await bob.delete("/v1/me/push", params={"endpoint": BROWSER["endpoint"]})).status_code == 204
        assert (await bob.get("/v1/me/push")).json()["items"] == []
        wrong: tuple[dict[str, Any], ...] = (
            {"endpoint": "http://push.example.com/x"},
            {"endpoint": "https://10.0.0.1/x"},
            {"keys": {"p256dh": "x", "auth": AUTH}},
            {"keys": {"p256dh": POINT, "auth": "!"}},
        )
        for changes in wrong:
            assert refused(await ada.post("/v1/me/push", json=BROWSER | changes)) == (422, "push_invalid")
        for number in range(20):
            browser = BROWSER | {"endpoint": f"https://push.example.com/{number}"}
            assert (await ada.post("/v1/me/push", json=browser)).status_code == 201
        assert refused(await ada.post("/v1/me/push", json=BROWSER)) == (429, "limit_reached")
        last = await world.bus.last_of(DEVICES.name, device_subject(user_id_of(ISSUER, "ada")))
        assert last is not None
