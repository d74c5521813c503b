"""The WebSocket over real sockets: several subscriptions, calls, refusals, a client that does not read, a gateway that stops."""

import asyncio
import json
from typing import Any

import pytest
from contracts import events as e
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.front_doors.conftest import ANSWER, SmallMesh
from tests.integration.front_doors.mesh import plain
from tests.integration.gateway_ws.talk import Talk, talking
from tests.plain_http import plain_client
from tests.sse import text_of

ALICE = {"authorization": "Bearer alice"}


async def thread(mesh: SmallMesh) -> str:
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as client:
        made = await client.post("/v1/threads", json={})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])


async def test_two_subscriptions_and_a_call_on_one_connection(mesh: SmallMesh) -> None:
    where = await thread(mesh)
    async with talking(mesh.bases[0]) as talk:
        assert (await talk.ask("subscribe", "all", thread=where))["type"] == "subscribed"
        accepted = await talk.ask("send", "call", thread=where, content="hi", idempotency_key="once")
        assert accepted["type"] == "accepted"
        run = accepted["run_id"]
        again = await talk.ask("send", "again", thread=where, content="hi", idempotency_key="once")
        assert again["run_id"] == run
        assert (await talk.ask("subscribe", "one", run=run, cursor=accepted["cursor"]))["type"] == "subscribed"
        if not any(message["type"] == "ended" for message in talk.seen):
            await talk.until("ended", "one")
        while not talk.events("all") or talk.events("all")[-1]["type"] != "run.completed":
            await talk.hear()
        assert (await talk.ask("unsubscribe", "all"))["type"] == "unsubscribed"
        # The run is over, and this viewer has had its end: nothing comes but the end.
        cursor = talk.cursor("one")
        assert (await talk.ask("subscribe", "over", run=run, cursor=cursor))["type"] == "subscribed"
        await talk.until("ended", "over")
        assert talk.events("over") == []
    assert talk.events("one") == talk.events("all")
    assert text_of(talk.events("one")) == ANSWER == (await mesh.stored(run))["content"]


async def test_an_event_is_the_bytes_of_the_log(mesh: SmallMesh) -> None:
    where = await thread(mesh)
    async with talking(mesh.bases[0]) as talk:
        run = (await talk.ask("send", "call", thread=where, content="hi"))["run_id"]
        await talk.say("subscribe", id="s", run=run)
        raw: list[str] = []
        while '"ended"' not in (message := str(await talk.socket.recv())):
            raw.append(message)
    await mesh.stored(run)
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as client:
        lines = (
            await client.get(f"/v1/runs/{run}/log", headers=ALICE | {"accept": "application/x-ndjson"})
        ).text.splitlines()
    assert [message.partition('"event":')[2].removesuffix("}") for message in raw if '"event":' in message] == lines


async def test_resumed_by_cursor_at_another_gateway_when_this_one_stops(mesh: SmallMesh) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:20], gate, *plain(ANSWER)[20:]]
    where = await thread(mesh)
    async with talking(mesh.bases[0]) as talk:
        run = (await talk.ask("send", "call", thread=where, content="hi"))["run_id"]
        await talk.say("subscribe", id="s", run=run)
        while sum(event["type"] == "text.delta" for event in talk.events("s")) < 10:
            await talk.hear()
        mesh.gateways[0].drain()
        with pytest.raises(ConnectionClosed) as closed:
            await talk.until("never")
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "draining")
        assert talk.seen[-1] == {"type": "end", "reason": "draining"}
    other = await mesh.gateway()
    gate.set()
    async with talking(other.base) as second:
        assert (await second.ask("subscribe", "s", run=run, cursor=talk.cursor("s")))["type"] == "subscribed"
        await second.until("ended", "s")
    seen = [*talk.events("s"), *second.events("s")]
    assert [event["sequence"] for event in seen] == list(range(1, len(seen) + 1))
    assert text_of(seen) == ANSWER == (await mesh.stored(run))["content"]


async def test_cancelled(mesh: SmallMesh) -> None:
    gate = asyncio.Event()
    mesh.worker.script = lambda _: [*plain(ANSWER)[:20], gate, *plain(ANSWER)[20:]]
    where = await thread(mesh)
    async with talking(mesh.bases[0]) as talk:
        run = (await talk.ask("send", "call", thread=where, content="hi"))["run_id"]
        await talk.say("subscribe", id="s", run=run)
        while not any(event["type"] == "text.delta" for event in talk.events("s")):
            await talk.hear()
        assert await talk.ask("cancel", "stop", run=run) == {"type": "cancelling", "id": "stop", "run_id": run}
        gate.set()
        await talk.until("ended", "s")
        assert talk.events("s")[-1]["type"] == "run.cancelled"
        assert (await mesh.stored(run))["status"] == "cancelled"
        assert (await talk.ask("cancel", "late", run=run))["code"] == "run_finished"


async def test_refusals_have_the_codes_of_http_and_leave_the_connection_open(mesh: SmallMesh) -> None:
    where = await thread(mesh)
    async with talking(mesh.bases[0], "mallory") as talk:
        refused: list[tuple[dict[str, Any], str]] = [
            ({"type": "subscribe", "id": "x", "thread": where}, "thread_not_found"),
            ({"type": "subscribe", "id": "x", "run": "no run"}, "run_not_found"),
            ({"type": "subscribe", "id": "x", "feed": True, "cursor": "here"}, "cursor_invalid"),
            ({"type": "subscribe", "id": "x", "feed": True, "run": "both"}, "body_invalid"),
            ({"type": "send", "id": "x", "thread": where, "content": "mine now"}, "thread_not_found"),
            ({"type": "send", "id": "x", "thread": where, "content": " "}, "message_empty"),
            (
                {"type": "send", "id": "x", "thread": where, "content": "a", "idempotency_key": ""},
                "idempotency_key_invalid",
            ),
            ({"type": "send", "id": "x", "thread": where, "content": "a" * 300_000}, "body_too_large"),
            ({"type": "cancel", "id": "x", "run": "no run"}, "run_not_found"),
            ({"type": "unsubscribe", "id": "x"}, "not_found"),
            ({"type": "dance", "id": "x"}, "body_invalid"),
            ({"type": "auth", "token": "again"}, "body_invalid"),
        ]
        for message, code in refused:
            await talk.socket.send(json.dumps(message))
            answer = await talk.hear()
            assert (answer["type"], answer["code"], answer.get("id")) == ("error", code, message.get("id"))
        await talk.socket.send("{")
        assert (await talk.hear())["code"] == "body_invalid"
        assert (await talk.ask("subscribe", "feed", feed=True))["type"] == "subscribed"
        assert (await talk.ask("subscribe", "feed", feed=True))["code"] == "body_invalid"


async def test_who_names_nobody_is_sent_away(mesh: SmallMesh) -> None:
    url = f"ws{mesh.bases[0].removeprefix('http')}/v1/ws"
    for first, code in [
        ({"type": "subscribe", "id": "s", "feed": True}, "token_missing"),
        ({"type": "auth"}, "token_missing"),
        ({"type": "auth", "ticket": "made up"}, "token_invalid"),
    ]:
        async with connect(url, proxy=None) as socket:
            talk = Talk(socket)
            await socket.send(json.dumps(first))
            assert (await talk.hear())["code"] == code
            with pytest.raises(ConnectionClosed) as closed:
                await talk.hear()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


async def test_a_ticket_opens_one_connection(mesh: SmallMesh) -> None:
    async with plain_client(base_url=mesh.bases[0], headers=ALICE) as client:
        issued = await client.post("/v1/ws/ticket")
        assert issued.status_code == 201
        assert issued.json()["expires_in"] == 30
        alice = (await client.get("/v1/me")).json()["id"]
        assert (await client.post("/v1/ws/ticket", headers={"authorization": ""})).status_code == 401
    url = f"ws{mesh.bases[0].removeprefix('http')}/v1/ws"
    first = json.dumps({"type": "auth", "ticket": issued.json()["ticket"]})
    async with connect(url, proxy=None) as socket:
        await socket.send(first)
        assert await Talk(socket).hear() == {"type": "authenticated", "user_id": alice}
    async with connect(url, proxy=None) as socket:
        await socket.send(first)
        assert (await Talk(socket).hear())["code"] == "token_invalid"


async def test_a_page_of_an_unknown_origin_is_refused(mesh: SmallMesh) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talking(mesh.bases[0], origin="https://elsewhere.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_client_that_does_not_read_holds_up_nobody_and_little_memory(mesh: SmallMesh) -> None:
    big = "x" * 20_000
    pieces = [(e.TextDelta, {"part": 0, "delta": big}) for _ in range(400)]
    mesh.worker.script = lambda _: [plain("")[0], *pieces, *plain("")[1:]]
    mesh.worker.pace = 0
    where = await thread(mesh)
    async with talking(mesh.bases[0], max_queue=1) as slow, talking(mesh.bases[0]) as quick:
        run = (await slow.ask("send", "call", thread=where, content="hi"))["run_id"]
        for name in ("a", "b"):
            await slow.say("subscribe", id=name, run=run)
        await quick.say("subscribe", id="s", run=run)
        await quick.until("ended", "s")
        assert text_of(quick.events("s")) == big * 400
        # Nothing was lost for the slow one: what it did not take is still in the log.
        ended = 0
        while ended < 2:
            ended += (await slow.hear())["type"] == "ended"
    assert text_of(slow.events("a")) == text_of(slow.events("b")) == big * 400
    names = [message["id"] for message in slow.seen if message["type"] == "event"]
    assert "b" in names[: len(names) // 2], "subscriptions take turns"
