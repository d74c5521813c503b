"""Whoever was cut off from an answer of the legacy path and comes back after its end, at a gateway that never had it, has each
word once: at every door that gives out places, and at every place it gave out."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.integration.gateway_ws.talk import talking
from tests.mesh import Mesh, stored_answer
from tests.sse import Frame, frames, text_of
from tests.upstream import expected_text

ASKED = "tokens=30 rate=150 reasoning=6"
TEXT = expected_text(ASKED)
Resume = Callable[[str, list[Frame]], tuple[str, dict[str, str]]]
"""Where a client goes on that has these frames of a run: the path and the headers."""


def native(run_id: str, had: list[Frame]) -> tuple[str, dict[str, str]]:
    return f"/v1/runs/{run_id}/events", {"last-event-id": had[-1].id}


def responses(run_id: str, had: list[Frame]) -> tuple[str, dict[str, str]]:
    after = had[-1].json["sequence_number"]
    return f"/openai/v1/responses/resp_{run_id.partition('_')[2]}?stream=true&starting_after={after}", {}


def ai_sdk(run_id: str, had: list[Frame]) -> tuple[str, dict[str, str]]:
    return f"/api/chat/{run_id}/stream?startIndex={len(had)}", {}


def native_text(seen: list[Frame]) -> str:
    return text_of([frame.json for frame in seen])


def deltas(kind: str) -> Callable[[list[Frame]], str]:
    def text(seen: list[Frame]) -> str:
        payloads: list[dict[str, Any]] = [frame.json for frame in seen if frame.data != "[DONE]"]
        return "".join(payload["delta"] for payload in payloads if payload["type"] == kind)

    return text


async def read(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> tuple[str, list[Frame]]:
    async with client.stream(method, path, **more) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        return response.headers.get("x-run-id", ""), [frame async for frame in frames(response)]


DOORS: dict[str, tuple[str, dict[str, Any], Resume, Callable[[list[Frame]], str]]] = {
    "native": ("/v1/messages", {}, native, native_text),
    "responses": (
        "/openai/v1/responses",
        {"model": "openai:gpt-4o-mini", "input": ASKED, "stream": True},
        responses,
        deltas("response.output_text.delta"),
    ),
    "ai_sdk": (
        "/api/chat",
        {"id": "resumed", "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": ASKED}]}]},
        ai_sdk,
        deltas("text-delta"),
    ),
}


async def watched(client: httpx2.AsyncClient, door: str) -> tuple[str, list[Frame]]:
    """An answer through a door, from its first frame to its last."""
    path, body, _, _ = DOORS[door]
    if door != "native":
        return await read(client, "POST", path, content=json.dumps(body))
    thread = (await client.post("/v1/threads", json={})).json()["id"]
    accepted = (await client.post(f"/v1/threads/{thread}/messages", json={"content": ASKED})).json()
    _, seen = await read(client, "GET", f"/v1/runs/{accepted['run_id']}/events")
    return accepted["run_id"], seen


@pytest.mark.parametrize("door", DOORS)
async def test_who_comes_back_elsewhere_after_the_end_has_each_word_once(mesh: Mesh, door: str) -> None:
    _, _, resume, text = DOORS[door]
    async with mesh.client() as client, mesh.client(1) as elsewhere:
        client.headers["x-everthread-path"] = "legacy_sync"
        run_id, seen = await watched(client, door)
        run = (await client.get(f"/v1/runs/{run_id}")).json()
        assert run["path"] == "legacy_sync"
        await stored_answer(client, run["thread_id"], run_id)
        assert text(seen) == TEXT
        for count in range(1, len(seen) - 1, 3):
            path, headers = resume(run_id, seen[:count])
            _, rest = await read(elsewhere, "GET", path, headers=headers)
            assert text([*seen[:count], *rest]) == TEXT, f"{door} after {count} of {len(seen)} frames"
            assert [frame.data for frame in rest] == [frame.data for frame in seen[count:]]


async def test_what_is_counted_in_events_and_what_is_not_counted_at_all(mesh: Mesh) -> None:
    async with mesh.client() as client, mesh.client(1) as elsewhere:
        client.headers["x-everthread-path"] = "legacy_sync"
        run_id, seen = await watched(client, "native")
        thread_id = seen[0].json["thread_id"]
        await stored_answer(client, thread_id, run_id)
        for count in (1, len(seen) // 2, len(seen) - 1):
            caught_up = await elsewhere.get(f"/streams/runs/{run_id}?offset=l{count:010d}")
            assert caught_up.json() == [frame.json for frame in seen[count:]]
        async with talking(mesh.urls[1], mesh.token()) as talk:
            await talk.say("subscribe", id="a", run=run_id, cursor=seen[11].id)
            await talk.until("ended", "a")
        assert talk.events("a") == [frame.json for frame in seen[12:]]
        _, shown = await read(elsewhere, "GET", f"/agui/runs/{run_id}/events")
        snapshot = next(frame.json for frame in shown if frame.json["type"] == "MESSAGES_SNAPSHOT")
        assert [message["content"] for message in snapshot["messages"] if message["role"] == "assistant"] == [TEXT]
        logged = (await elsewhere.get(f"/v1/runs/{run_id}/log", params={"limit": 200})).json()
        assert logged["items"] == [frame.json for frame in seen]
        assert (await elsewhere.get(f"/v1/runs/{run_id}/verify")).json()["equal"] is True
