"""A browser at the door: a session out of a token, what it opens and to whom, and the page at `/`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.integration.gateway.world import World, start_world, token
from tests.plain_http import plain_client


@asynccontextmanager
async def browser_of(world: World, user: str = "ada") -> AsyncIterator[httpx2.AsyncClient]:
    """A client with nothing but the session cookie."""
    async with plain_client(base_url=world.base, timeout=20) as client:
        headers = {"authorization": f"Bearer {token(user)}", "origin": world.base}
        opened = await client.post("/session", headers=headers, json={})
        assert opened.status_code == 200, opened.text
        assert opened.json()["authenticated"]
        yield client


async def test_a_session_opens_what_its_token_opens(world: World) -> None:
    async with browser_of(world) as browser, world.client("ada") as ada:
        thread_id = await world.thread(ada)
        assert [item["id"] for item in (await browser.get("/v1/threads")).json()["items"]] == [thread_id]
        own = {"origin": world.base, "sec-fetch-site": "same-origin"}
        changed = await browser.patch(f"/v1/threads/{thread_id}", headers=own, json={"title": "by cookie"})
        assert changed.status_code == 200, changed.text
        async with browser.stream("GET", "/v1/me/events") as stream:
            assert stream.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-site"},
        {"origin": "null"},
    ],
)
async def test_another_page_can_change_nothing_with_it(world: World, headers: dict[str, str]) -> None:
    async with browser_of(world) as browser:
        for refused in (
            await browser.post("/v1/threads", headers=headers, json={"title": "forged"}),
            await browser.delete("/session", headers=headers),
        ):
            assert refused.status_code == 403, refused.text
        assert (await browser.get("/v1/threads")).json()["items"] == []


async def test_another_page_can_read_nothing_with_it(world: World) -> None:
    async with browser_of(world) as browser:
        for path in ("/v1/threads", "/v1/me/events"):
            refused = await browser.get(path, headers={"sec-fetch-site": "cross-site"})
            assert refused.status_code == 403, path


async def test_a_session_ends_in_this_browser_and_a_forged_one_is_none(world: World) -> None:
    async with browser_of(world) as browser:
        closed = await browser.delete("/session", headers={"origin": world.base})
        assert closed.status_code == 204
        assert (await browser.get("/v1/threads")).status_code == 401
        assert (await browser.get("/session")).json()["authenticated"] is False
        name = f"everthread_session_{world.base.rpartition(':')[2]}"
        forged = await browser.get("/v1/threads", headers={"cookie": f"{name}={token('ada')}x"})
        assert forged.status_code == 401


async def test_without_development_sessions_a_name_is_not_enough(world: World) -> None:
    async with plain_client(base_url=world.base) as browser:
        said = (await browser.get("/session")).json()
        assert (said["authenticated"], said["mode"]) == (False, "token")
        assert "POST /v1/threads" in said["offers"]
        assert "message.content" in said["offers"]
        refused = await browser.post("/session", headers={"origin": world.base}, json={"user": "ada", "role": "admin"})
        assert refused.status_code == 401


async def test_where_traces_are_is_told_to_who_has_a_session() -> None:
    viewer = "https://traces.internal.example/{trace_id}"
    world = await start_world(trace_viewer_url=viewer)
    try:
        async with plain_client(base_url=world.base) as stranger:
            assert (await stranger.get("/session")).json()["trace_url"] is None
        async with browser_of(world) as browser:
            assert (await browser.get("/session")).json()["trace_url"] == viewer
    finally:
        await world.close()


async def test_an_authorization_header_wins_over_a_cookie(world: World) -> None:
    async with browser_of(world, "ada") as browser:
        headers = {"authorization": f"Bearer {token('bob')}"}
        me = (await browser.get("/v1/me", headers=headers)).json()["id"]
        assert me != (await browser.get("/v1/me")).json()["id"]


async def test_browsers_get_the_page_or_that_there_is_none(world: World) -> None:
    async with plain_client(base_url=world.base) as client:
        page = await client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "not built yet" in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert (await client.get("/")).json()["openapi"] == "/openapi.json"
        assert (await client.get("/assets/none.js")).status_code == 404
        assert (await client.get("/t/thr_01ARZ3NDEKTSV4RRFFQ69G5FAV")).status_code == 404
