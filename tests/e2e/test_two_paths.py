"""Both paths answer alike: the same scripts through each give the same events and the same stored message. What only the
durable path can do, the legacy one fails at as it should: plainly, and keeping what was shown."""

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.mesh import TERMINAL, Mesh, create_thread, messages, send, stored_answer, to_the_end, watching
from tests.sse import Frame, text_of
from tests.upstream import expected_text

PATHS = ("durable_event", "legacy_sync")
DELTAS = ("text.delta", "reasoning.delta")
OWN = {
    "at",
    "trace_id",
    "thread_id",
    "run_id",
    "message_id",
    "worker",
    "path",
    "published_at",
    "sequence",
    "started_at",
    "ended_at",
}
"""What differs from run to run, or says which path it was; sequences differ as deltas are joined differently."""
TOOLS_MODEL = "openai:scripted-tools"


def wishing(mesh: Mesh, path: str, gateway: int = 0) -> httpx2.AsyncClient:
    """A client of a user who wishes for a path, which the built-in definition of the flag grants."""
    client = mesh.client(gateway)
    client.headers["x-everthread-path"] = path
    return client


@contextlib.asynccontextmanager
async def limited(mesh: Mesh, client: httpx2.AsyncClient) -> AsyncIterator[None]:
    """The client's user may spend so much that nothing is stopped."""
    me = (await client.get("/v1/me")).json()["id"]
    async with mesh.client() as admin:
        admin.headers["authorization"] = f"Bearer {mesh.token(role='admin')}"
        for users in ({me: 50_000_000}, {}):
            now = {"if-match": (await admin.get("/v1/admin/budgets")).headers["etag"]}
            changed = await admin.put("/v1/admin/budgets?why=test", json={"users": users}, headers=now)
            assert changed.status_code == 200, changed.text
            if users:
                # A change is in force at every worker within a second.
                await asyncio.sleep(1)
                yield


async def budget(client: httpx2.AsyncClient) -> dict[str, int]:
    found: dict[str, int] = (await client.get("/v1/me/usage")).json()["budget"]
    return found


def comparable(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without what may differ; neighbouring deltas of one part are one."""
    kept: list[dict[str, Any]] = []
    for event in events:
        bare = {name: value for name, value in event.items() if name not in OWN}
        last = kept[-1] if kept else None
        if (
            last is not None
            and bare["type"] in DELTAS
            and (last["type"], last.get("part")) == (bare["type"], bare["part"])
        ):
            last["delta"] += bare["delta"]
        else:
            kept.append(bare)
    return kept


def stored(message: dict[str, Any]) -> dict[str, Any]:
    own = {"id", "thread_id", "run_id", "parent_message_id", "created_at"}
    parts = [{name: value for name, value in part.items() if name not in OWN} for part in message["parts"]]
    return {name: value for name, value in message.items() if name not in own} | {"parts": parts}


async def answered(
    mesh: Mesh, path: str, content: str, **fields: Any
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Events, stored message and run of one answer."""
    async with wishing(mesh, path) as client:
        thread = await create_thread(client, title="two paths")
        accepted = await send(client, thread, content, **fields)
        assert accepted["path"] == path
        seen = [frame.json for frame in await to_the_end(client, accepted["run_id"], accepted["cursor"])]
        message = await stored_answer(client, thread, accepted["run_id"])
        run = (await client.get(f"/v1/runs/{accepted['run_id']}")).json()
    assert [event["sequence"] for event in seen] == list(range(1, len(seen) + 1))
    assert message["content"] == text_of(seen)
    assert message["id"] == accepted["assistant_message_id"]
    assert run["path"] == path
    return comparable(seen), stored(message), run


@pytest.mark.parametrize(
    "content",
    [
        "tokens=40 rate=200",
        "tokens=300",
        "tokens=30 rate=100 reasoning=12",
        "tokens=20 usage=never",
        "tokens=15 finish=length",
        "tokens=12 seed=5 split crlf keepalive",
        "tokens=40 rate=200 cut_after=17 cut=no_finish",
        "tokens=40 rate=200 cut_after=9",
        "tokens=10 status=400 message=this_cannot_be",
        "tokens=10 status=500 times=1",
        "tokens=10 refusal=no_I_will_not",
        "echo",
    ],
)
async def test_the_same_script_gives_the_same_events_and_the_same_message(mesh: Mesh, content: str) -> None:
    durable, legacy = await asyncio.gather(
        *(answered(mesh, path, f"{content} seed=3" if content.startswith("tokens=300") else content) for path in PATHS)
    )
    assert legacy[0] == durable[0]
    assert legacy[1] == durable[1]
    for name in ("status", "attempts", "usage", "cost_microusd", "error", "model"):
        assert legacy[2][name] == durable[2][name], name


@pytest.mark.parametrize(
    "content",
    [
        'tokens=4 call=calculator:{"expression":"6*7"} then tokens=8',
        'call=calculator:{"expression":"1+1"} then call=calculator:{"expression":"2+2"} then tokens=5 seed=4',
        "call=calculator:{} then tokens=3",
        'call=calculator:{"expression":"1/0"} then tokens=3',
        "call=no_such_tool:{} then tokens=3",
    ],
)
async def test_tools_give_the_same_events_and_the_same_message(mesh: Mesh, content: str) -> None:
    durable, legacy = await asyncio.gather(*(answered(mesh, path, content, model=TOOLS_MODEL) for path in PATHS))
    assert [event["type"] for event in durable[0]].count("tool.result") == content.count("call=")
    assert legacy[0] == durable[0]
    assert legacy[1] == durable[1]
    for name in ("status", "attempts", "usage", "cost_microusd", "error", "model"):
        assert legacy[2][name] == durable[2][name], name


async def _thread_frames(stream: Any, ends: int) -> list[Frame]:
    """The frames of a thread's stream until so many runs have ended."""
    seen: list[Frame] = []
    async with asyncio.timeout(30):
        async for frame in stream:
            seen.append(frame)
            ends -= frame.event in TERMINAL
            if ends == 0:
                return seen
    raise AssertionError(f"the stream ended after {[f.event for f in seen]}")


async def test_whoever_watches_the_thread_sees_the_runs_of_either_path_as_they_go(mesh: Mesh) -> None:
    async with wishing(mesh, "durable_event") as client:
        thread = await create_thread(client)
        events = f"/v1/threads/{thread}/events"
        live: list[Frame] = []
        async with watching(client, events) as stream:
            for path in ("durable_event", "legacy_sync", "durable_event"):
                client.headers["x-everthread-path"] = path
                accepted = await send(client, thread, "tokens=20 rate=100")
                assert accepted["path"] == path
                frames = await _thread_frames(stream, 1)
                shown = [frame.json for frame in frames if frame.json.get("run_id") == accepted["run_id"]]
                assert [event["sequence"] for event in shown] == list(range(1, len(shown) + 1))
                assert text_of(shown) == expected_text("tokens=20")
                live += frames
                await stored_answer(client, thread, accepted["run_id"])
        # Whoever comes afterwards, here or elsewhere, from the beginning or with a cursor out of a legacy run, has all of them.
        middle = next(frame for frame in live if frame.json.get("path") == "legacy_sync")
        for gateway, cursor in ((0, ""), (1, ""), (0, middle.id), (1, middle.id)):
            place = f"{events}?cursor={cursor}" if cursor else events
            async with mesh.client(gateway) as later, watching(later, place) as stream:
                again = [frame.json for frame in await _thread_frames(stream, 3)]
            for run_id in {frame.json["run_id"] for frame in live if frame.event in TERMINAL}:
                mine = [event for event in again if event.get("run_id") == run_id]
                assert text_of(mine) == expected_text("tokens=20"), (gateway, cursor)


async def test_the_second_message_of_a_thread_gets_the_first_as_its_context_on_either_path(mesh: Mesh) -> None:
    seen: dict[tuple[str, ...], str] = {}
    for order in itertools.product(PATHS, repeat=2):
        async with mesh.client() as client:
            thread = await create_thread(client)
            for number, path in enumerate(order):
                client.headers["x-everthread-path"] = path
                accepted = await send(client, thread, "tokens=5" if number == 0 else "echo")
                await to_the_end(client, accepted["run_id"])
                last = await stored_answer(client, thread, accepted["run_id"])
            seen[order] = last["content"]
    assert len(set(seen.values())) == 1, seen
    assert expected_text("tokens=5").strip() in next(iter(seen.values()))


async def test_a_stop_keeps_what_was_shown_on_either_path_and_from_another_gateway(mesh: Mesh) -> None:
    for path in PATHS:
        async with wishing(mesh, path) as client, mesh.client(1) as elsewhere:
            thread = await create_thread(client)
            accepted = await send(client, thread, "tokens=400 rate=40")
            seen: list[Frame] = []
            async with watching(client, f"/v1/runs/{accepted['run_id']}/events") as stream:
                async for frame in stream:
                    seen.append(frame)
                    if frame.event == "text.delta" and sum(f.event == "text.delta" for f in seen) == 8:
                        response = await elsewhere.post(f"/v1/runs/{accepted['run_id']}/cancel")
                        assert response.status_code == 202, response.text
            message = await stored_answer(client, thread, accepted["run_id"])
        assert seen[-1].event == "run.cancelled", path
        assert message["status"] == "cancelled"
        assert message["content"] == text_of([frame.json for frame in seen])
        assert message["usage"]["output_tokens"] > 0
        assert message["usage"]["estimated"] is True


async def _some(stream: Any, count: int) -> list[Frame]:
    seen: list[Frame] = []
    async for frame in stream:
        seen.append(frame)
        if sum(f.event == "text.delta" for f in seen) >= count:
            return seen
    raise AssertionError(f"the stream ended after {[f.event for f in seen]}")


async def test_a_closed_tab_ends_a_legacy_answer_and_not_a_durable_one(mesh: Mesh) -> None:
    ended: dict[str, dict[str, Any]] = {}
    for path in PATHS:
        async with wishing(mesh, path) as client:
            thread = await create_thread(client)
            accepted = await send(client, thread, "tokens=120 rate=40")
            async with watching(client, f"/v1/runs/{accepted['run_id']}/events") as stream:
                shown = text_of([frame.json for frame in await _some(stream, 10)])
            ended[path] = await stored_answer(client, thread, accepted["run_id"])
            assert ended[path]["content"].startswith(shown)
    assert ended["durable_event"]["status"] == "complete"
    legacy = ended["legacy_sync"]
    assert legacy["status"] == "cancelled"
    assert legacy["content"] != expected_text("tokens=120 rate=40")
    assert legacy["usage"]["output_tokens"] > 0
    assert legacy["cost_microusd"] > 0


async def test_a_legacy_answer_goes_on_while_one_of_two_viewers_stays(mesh: Mesh) -> None:
    async with wishing(mesh, "legacy_sync") as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=120 rate=40")
        events = f"/v1/runs/{accepted['run_id']}/events"
        async with watching(client, events) as stays:
            async with watching(client, events) as leaves:
                await _some(leaves, 5)
            seen = await _some(stays, 5)
            partial = [m for m in await messages(client, thread) if m["role"] == "assistant"]
            assert partial[0]["status"] == "generating"
            assert partial[0]["content"]
            seen += [frame async for frame in stays]
    assert seen[-1].event == "run.completed"
    assert text_of([frame.json for frame in seen]) == expected_text("tokens=120 rate=40")


async def test_a_viewer_who_comes_back_with_a_cursor_misses_and_repeats_nothing(mesh: Mesh) -> None:
    async with wishing(mesh, "legacy_sync") as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=120 rate=40")
        events = f"/v1/runs/{accepted['run_id']}/events"
        async with watching(client, events) as stream:
            seen = await _some(stream, 10)
        seen += await to_the_end(client, accepted["run_id"], seen[-1].id)
        assert [frame.json["sequence"] for frame in seen] == list(range(1, len(seen) + 1))
        assert text_of([frame.json for frame in seen]) == expected_text("tokens=120 rate=40")
        await stored_answer(client, thread, accepted["run_id"])
        # What is seen afterwards, here and elsewhere, is what was shown.
        for gateway in (0, 1):
            async with mesh.client(gateway) as later:
                replayed = await to_the_end(later, accepted["run_id"])
            assert text_of([frame.json for frame in replayed]) == expected_text("tokens=120 rate=40")


async def test_another_gateway_says_that_the_answer_is_elsewhere_until_it_is_stored(mesh: Mesh) -> None:
    async with wishing(mesh, "legacy_sync") as client, mesh.client(1) as elsewhere:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=60 rate=40")
        events = f"/v1/runs/{accepted['run_id']}/events"
        async with watching(client, events) as stream:
            await _some(stream, 3)
            refused = await elsewhere.get(events)
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            # Nor does another door show what is there to be seen of it, in few frames, as if it were what was streamed.
            response = accepted["run_id"].replace("run_", "resp_")
            for place in (
                f"/openai/v1/responses/{response}?stream=true&starting_after=5",
                f"/api/chat/{accepted['run_id']}/stream?startIndex=5",
                f"/agui/runs/{accepted['run_id']}/events",
                f"/streams/runs/{accepted['run_id']}?offset=l0000000005",
            ):
                assert (await elsewhere.get(place)).status_code == 503, place
            assert (await elsewhere.get(f"/v1/runs/{accepted['run_id']}")).status_code == 200
            assert (await elsewhere.get(f"/v1/threads/{thread}/messages")).status_code == 200
            async for frame in stream:
                assert frame.event not in TERMINAL or frame.event == "run.completed"
        await stored_answer(client, thread, accepted["run_id"])
        async with asyncio.timeout(15):
            # Told to come again until its end is stored, as clients do.
            while (await elsewhere.get(f"/v1/runs/{accepted['run_id']}/state")).status_code == 503:
                await asyncio.sleep(0.1)
        seen = await to_the_end(elsewhere, accepted["run_id"])
    assert text_of([frame.json for frame in seen]) == expected_text("tokens=60 rate=40")


async def test_an_answer_that_nobody_comes_to_watch_is_given_up(mesh: Mesh) -> None:
    async with wishing(mesh, "legacy_sync") as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=2000 rate=40")
        message = await stored_answer(client, thread, accepted["run_id"], within=30)
    assert message["status"] == "cancelled"
    assert message["content"]


async def test_a_killed_worker_ends_a_legacy_answer_with_what_was_shown(mesh: Mesh) -> None:
    async with wishing(mesh, "legacy_sync") as client, limited(mesh, client):
        before = await budget(client)
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=200 rate=40")
        async with watching(client, f"/v1/runs/{accepted['run_id']}/events") as stream:
            seen = await _some(stream, 10)
            worker = next(frame.json["worker"] for frame in seen if frame.event == "attempt.started")
            victim = next(name for name in mesh.ps() if worker.startswith(name + "-"))
            killed = {victim: mesh.signal(victim, signal.SIGKILL)}
            seen += [frame async for frame in stream]
        message = await stored_answer(client, thread, accepted["run_id"])
        async with mesh.client(1) as elsewhere:
            rest = await to_the_end(elsewhere, accepted["run_id"], seen[7].id)
        # Another worker puts the user's budget right, which the dead one cannot.
        async with asyncio.timeout(20):
            while (after := await budget(client))["reserved_microusd"]:
                await asyncio.sleep(0.2)
    assert after["spent_microusd"] - before["spent_microusd"] == message["cost_microusd"]
    assert seen[-1].event == "run.failed"
    assert seen[-1].json["code"] == "orphaned"
    assert [frame.data for frame in rest] == [frame.data for frame in seen[8:]]
    assert message["status"] == "error"
    assert message["content"] == text_of([frame.json for frame in seen]) != ""
    # What the provider was asked for is booked, though nobody is left who could say what it was.
    assert message["usage"]["estimated"] is True
    assert message["usage"]["output_tokens"] > 0
    assert message["usage"]["input_tokens"] > 0
    assert message["cost_microusd"] > 0
    await mesh.wait_ready(changed=killed)


async def test_a_killed_gateway_ends_its_legacy_answers_and_they_are_stored(mesh: Mesh) -> None:
    async with wishing(mesh, "legacy_sync") as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=200 rate=40")
        async with watching(client, f"/v1/runs/{accepted['run_id']}/events") as stream:
            seen = await _some(stream, 10)
            shown = text_of([frame.json for frame in seen])
            killed = {"gateway-1": mesh.signal("gateway-1", signal.SIGKILL)}
        async with mesh.client(1) as elsewhere:
            message = await stored_answer(elsewhere, thread, accepted["run_id"])
            seen += await to_the_end(elsewhere, accepted["run_id"], seen[-1].id)
    assert message["status"] == "error"
    assert message["error"]["code"] == "orphaned"
    assert message["content"].startswith(shown)
    # Whoever was cut off goes on elsewhere where that was, up to the end that is stored.
    assert [frame.json["sequence"] for frame in seen] == list(range(1, len(seen) + 1))
    assert text_of([frame.json for frame in seen]) == message["content"]
    assert (seen[-1].event, seen[-1].json["code"]) == ("run.failed", "orphaned")
    assert message["usage"]["output_tokens"] > 0
    assert message["cost_microusd"] > 0
    await mesh.wait_ready(changed=killed)


async def test_the_doors_of_other_protocols_serve_the_legacy_path_too(mesh: Mesh) -> None:
    body = {
        "id": "legacy-chat",
        "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "tokens=20"}]}],
    }
    texts: dict[str, str] = {}
    kinds: dict[str, list[str]] = {}
    for path in PATHS:
        async with wishing(mesh, path) as client:
            response = await client.post("/api/chat", json={**body, "id": f"chat-{path}"})
            assert response.status_code == 200, response.text
            run_id = response.headers["x-workflow-run-id"]
            parts = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
            texts[path] = "".join(part["delta"] for part in parts if part["type"] == "text-delta")
            kinds[path] = [part["type"] for part in parts if part["type"] != "text-delta"]
            assert (await client.get(f"/v1/runs/{run_id}")).json()["path"] == path
    assert texts["legacy_sync"] == texts["durable_event"] == expected_text("tokens=20")
    assert kinds["legacy_sync"] == kinds["durable_event"]


@pytest.mark.parametrize("path", PATHS)
async def test_other_protocols_are_answered_by_either_path(mesh: Mesh, path: str) -> None:
    async with wishing(mesh, path) as client:
        question = {"model": "openai:gpt-4o-mini", "messages": [{"role": "user", "content": "tokens=9"}]}
        for streamed in (False, True):
            response = await client.post("/openai/v1/chat/completions", json={**question, "stream": streamed})
            assert response.status_code == 200, response.text
            assert (await client.get(f"/v1/runs/{response.headers['x-run-id']}")).json()["path"] == path
        assert response.text.rstrip().endswith("data: [DONE]")
        asked = {"model": "openai:gpt-4o-mini", "input": "tokens=9"}
        whole = await client.post("/openai/v1/responses", json=asked)
        assert whole.json()["status"] == "completed", whole.text
        assert (await client.get(f"/v1/runs/{whole.headers['x-run-id']}")).json()["path"] == path
        background = await client.post("/openai/v1/responses", json={**asked, "background": True})
        assert background.status_code == 200, background.text
        run = (await client.get(f"/v1/runs/{background.headers['x-run-id']}")).json()
        assert run["path"] == "durable_event"
