"""What a person gets at the native door of the whole mesh: refusals, threads, the feed, many viewers."""

import asyncio
import uuid
from typing import Any, cast

import pytest

from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end, watching
from tests.plain_http import plain_client
from tests.sse import Frame


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"content": ""}, 422, "message_empty"),
        ({"content": "  \n"}, 422, "message_empty"),
        ({"content": "x" * 200_001}, 422, "message_too_long"),
        ({"content": "hello", "model": "openai:none-such"}, 422, "model_unknown"),
        (["not", "an", "object"], 422, "body_invalid"),
        ({"text": "wrong field"}, 422, "body_invalid"),
    ],
)
async def test_a_message_that_cannot_be_taken_is_refused_and_nothing_is_stored(
    mesh: Mesh, body: object, status: int, code: str
) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        response = await client.post(f"/v1/threads/{thread}/messages", json=body)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response.headers["content-type"] == "application/problem+json"
        assert (await client.get(f"/v1/threads/{thread}/messages")).json()["items"] == []


async def test_a_body_that_is_no_json_and_one_that_is_too_large(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        path = f"/v1/threads/{thread}/messages"
        json_type = {"content-type": "application/json"}
        broken = await client.post(path, content=b'{"content": "hel', headers=json_type)
        assert (broken.status_code, broken.json()["code"]) == (400, "body_invalid")
        large = await client.post(path, content=b'{"content": "' + b"x" * 400_000 + b'"}', headers=json_type)
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
        assert (await client.get(path)).json()["items"] == []


async def test_somebody_elses_thread_and_run_are_not_there(mesh: Mesh) -> None:
    async with mesh.client() as owner, mesh.client(user="mallory") as stranger:
        thread = await create_thread(owner, title="private")
        accepted = await send(owner, thread, "tokens=5 rate=100")
        run = accepted["run_id"]
        for method, path in [
            ("GET", f"/v1/threads/{thread}"),
            ("PATCH", f"/v1/threads/{thread}"),
            ("DELETE", f"/v1/threads/{thread}"),
            ("GET", f"/v1/threads/{thread}/messages"),
            ("GET", f"/v1/threads/{thread}/events"),
        ]:
            response = await stranger.request(method, path, json={"title": "mine"} if method == "PATCH" else None)
            assert (response.status_code, response.json()["code"]) == (404, "thread_not_found"), path
        refused = await stranger.post(f"/v1/threads/{thread}/messages", json={"content": "hello"})
        assert (refused.status_code, refused.json()["code"]) == (404, "thread_not_found")
        for method, path in [
            ("GET", f"/v1/runs/{run}"),
            ("GET", f"/v1/runs/{run}/events"),
            ("GET", f"/v1/runs/{run}/log"),
            ("POST", f"/v1/runs/{run}/cancel"),
        ]:
            response = await stranger.request(method, path)
            assert (response.status_code, response.json()["code"]) == (404, "run_not_found"), path
        assert (await stored_answer(owner, thread, run))["status"] == "complete"


async def test_tokens_and_cursors_that_are_wrong(mesh: Mesh) -> None:
    async with mesh.client() as client, plain_client(base_url=mesh.urls[0]) as nobody:
        missing = await nobody.get("/v1/threads")
        assert (missing.status_code, missing.json()["code"]) == (401, "token_missing")
        malformed = await nobody.get("/v1/threads", headers={"authorization": "Bearer not.a.token"})
        assert (malformed.status_code, malformed.json()["code"]) == (401, "token_invalid")
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=5 rate=100")
        for path in (f"/v1/runs/{accepted['run_id']}/events", f"/v1/threads/{thread}/events"):
            bad = await client.get(path, headers={"last-event-id": "yesterday"})
            assert (bad.status_code, bad.json()["code"]) == (400, "cursor_invalid")
        injected = await client.get("/v1/runs/run_*.>/events")
        assert injected.status_code == 404


async def test_the_same_key_gives_the_same_answer_and_another_body_is_refused(mesh: Mesh) -> None:
    async with mesh.client(0) as one, mesh.client(1) as two:
        thread = await create_thread(one)
        path, key = f"/v1/threads/{thread}/messages", {"idempotency-key": str(uuid.uuid4())}
        body = {"content": "tokens=5 rate=100"}
        answers = await asyncio.gather(*[c.post(path, json=body, headers=key) for c in (one, two, one, two)])
        assert {a.status_code for a in answers} == {202}
        assert len({a.text for a in answers}) == 1
        other = await one.post(path, json={"content": "tokens=6 rate=100"}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        await stored_answer(one, thread, answers[0].json()["run_id"])
        assert len((await one.get(path)).json()["items"]) == 2


async def test_many_viewers_of_run_and_thread_see_the_same_bytes(mesh: Mesh) -> None:
    async with mesh.client(0) as one, mesh.client(1) as two:
        thread = await create_thread(one)
        accepted = await send(one, thread, "tokens=60 rate=100")
        run = accepted["run_id"]
        viewers = await asyncio.gather(*[to_the_end(client, run) for client in (one, two) * 10])
        _check_the_same(viewers)
        by_thread = []
        async with watching(two, f"/v1/threads/{thread}/events") as stream:
            async for frame in stream:
                # Who is there comes in between, and is in no log.
                if frame.event != "presence":
                    by_thread.append((frame.id, frame.data))
                if frame.event == "run.completed":
                    break
        assert by_thread == [(f.id, f.data) for f in viewers[0]]


async def test_viewers_who_come_while_the_first_words_are_written_see_each_once(mesh: Mesh) -> None:
    async with mesh.client(0) as one, mesh.client(1) as two:
        for _ in range(15):
            thread = await create_thread(one)
            accepted = await send(one, thread, "tokens=20 rate=200")
            _check_the_same(await asyncio.gather(*[to_the_end(c, accepted["run_id"]) for c in (one, two) * 8]))


def _check_the_same(viewers: list[list[Frame]]) -> None:
    for seen in viewers:
        assert [frame.json["sequence"] for frame in seen] == list(range(1, len(seen) + 1))
    assert len({tuple((frame.id, frame.data) for frame in seen) for seen in viewers}) == 1


async def test_the_second_question_gets_the_first_as_context(mesh: Mesh) -> None:
    async with mesh.client() as client:
        await client.patch("/v1/me/preferences", json={"system_prompt": "Be brief."})
        thread = await create_thread(client)
        first = await send(client, thread, "tokens=5 rate=200")
        answer = await stored_answer(client, thread, first["run_id"])
        second = await send(client, thread, "tokens=6 rate=200")
        await stored_answer(client, thread, second["run_id"])
        await client.patch("/v1/me/preferences", json={"system_prompt": ""})
        calls = (await client.get(f"{mesh.environment['OPENAI_BASE_URL'].removesuffix('/v1')}/calls")).json()
    bodies = [
        c["body"]["messages"] for c in calls["calls"] if c["body"]["messages"][-1]["content"] == "tokens=6 rate=200"
    ]
    system, *said = bodies[-1]
    assert system["role"] == "system"
    assert system["content"].endswith("Be brief."), "the agent's words, then the user's own"
    assert [(m["role"], m["content"]) for m in said] == [
        ("user", "tokens=5 rate=200"),
        ("assistant", answer["content"]),
        ("user", "tokens=6 rate=200"),
    ]


async def test_the_feed_tells_every_device_and_keeps_what_one_missed(mesh: Mesh) -> None:
    async with mesh.client(0, user="feeder") as desk, mesh.client(1, user="feeder") as phone:
        async with watching(phone, "/v1/me/events?cursor=latest") as live:
            thread = await create_thread(desk, title="news")
            accepted = await send(desk, thread, "tokens=5 rate=200")
            while_watching = []
            async for frame in live:
                while_watching.append(frame)
                if frame.event == "run.completed":
                    break
        failing = await send(desk, thread, "status=400")
        await stored_answer(desk, thread, failing["run_id"])
        while_away = []
        async with watching(phone, "/v1/me/events", while_watching[-1].id) as stream:
            async for frame in stream:
                while_away.append(frame)
                if frame.event == "run.failed":
                    break
    assert while_watching[-1].json["run_id"] == accepted["run_id"]
    assert while_away[-1].json["run_id"] == failing["run_id"]
    assert while_away[-1].json["code"]


async def test_threads_are_listed_changed_and_deleted(mesh: Mesh) -> None:
    async with mesh.client(user="keeper") as client:
        ids = [await create_thread(client, title=f"t{index}") for index in range(5)]
        first = (await client.get("/v1/threads", params={"limit": 2})).json()
        listed = [item["id"] for item in first["items"]]
        cursor = first["next_cursor"]
        while cursor:
            page = (await client.get("/v1/threads", params={"limit": 2, "cursor": cursor})).json()
            listed += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert listed == ids[::-1]
        change = {"title": "renamed", "archived": True, "pinned": True, "starred": True, "tags": ["a", "b"]}
        changed = await client.patch(f"/v1/threads/{ids[0]}", json=change)
        assert changed.status_code == 200
        assert {key: changed.json()[key] for key in change} == change
        active = (await client.get("/v1/threads", params={"archived": "false"})).json()["items"]
        assert ids[0] not in [item["id"] for item in active]
        assert (await client.delete(f"/v1/threads/{ids[1]}")).status_code == 204
        assert (await client.get(f"/v1/threads/{ids[1]}")).status_code == 404
        assert (await client.get("/v1/threads", params={"cursor": "nonsense"})).json()["code"] == "cursor_invalid"


async def test_what_is_made_with_one_key_is_made_once_at_any_gateway(mesh: Mesh) -> None:
    key = {"idempotency-key": uuid.uuid4().hex}
    async with mesh.client(0, user="once") as one, mesh.client(1, user="once") as two:

        async def made(path: str, body: dict[str, str], status: int, **headers: str) -> dict[str, Any]:
            answers = await asyncio.gather(*[c.post(path, json=body, headers=headers) for c in (one, two) * 4])
            assert {answer.status_code for answer in answers} == {status}
            assert len({answer.text for answer in answers}) == 1
            return cast("dict[str, Any]", answers[0].json())

        thread = (await made("/v1/threads", {"title": "once"}, 201, **key))["id"]
        assert [item["id"] for item in (await one.get("/v1/threads")).json()["items"]] == [thread]
        other = await two.post("/v1/threads", json={"title": "twice"}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")

        accepted = await send(one, thread, "tokens=3 rate=200")
        await stored_answer(one, thread, accepted["run_id"])
        forked = {"message_id": accepted["assistant_message_id"]}
        fork = (await made(f"/v1/threads/{thread}/fork", forked, 201, **{"idempotency-key": uuid.uuid4().hex}))["id"]
        assert {item["id"] for item in (await one.get("/v1/threads")).json()["items"]} == {thread, fork}

        schedules = f"/v1/threads/{thread}/schedules"
        timetable = {"cron": "0 9 1 1 *", "content": "tokens=3 rate=200"}
        await made(schedules, timetable, 201, **{"idempotency-key": uuid.uuid4().hex})
        assert len((await two.get(schedules)).json()["items"]) == 1

        steer = {"idempotency-key": uuid.uuid4().hex}
        going = await send(one, thread, "tokens=4000 rate=40")
        joined = await one.post(f"/v1/runs/{going['run_id']}/steer", json={"content": "tokens=3"}, headers=steer)
        assert joined.status_code == 202
        await one.post(f"/v1/runs/{going['run_id']}/cancel")
        await stored_answer(one, thread, going["run_id"])
        again = await two.post(f"/v1/runs/{going['run_id']}/steer", json={"content": "tokens=3"}, headers=steer)
        assert (again.status_code, again.json()) == (202, joined.json()), "also when the run has ended since"
