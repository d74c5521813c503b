"""Limits and ends of the native door: slow viewers, drains, cursors at the end, expired tokens."""

import asyncio
import signal
import socket
from urllib.parse import urlsplit

from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end, watching
from tests.sse import Frame
from tests.upstream import expected_text


async def test_a_drained_gateway_says_where_to_go_on(mesh: Mesh) -> None:
    async with mesh.client(0) as first, mesh.client(1) as second:
        thread = await create_thread(first)
        accepted = await send(first, thread, "tokens=150 rate=50")
        seen: list[Frame] = []
        async with watching(first, f"/v1/runs/{accepted['run_id']}/events") as stream:
            async for frame in stream:
                if len(seen) == 15:
                    stopped = {"gateway-1": mesh.signal("gateway-1", signal.SIGTERM)}
                if frame.event == "end":
                    break
                seen.append(frame)
        assert frame.json["reason"] == "draining"
        assert frame.json["cursor"] == seen[-1].id
        seen += await to_the_end(second, accepted["run_id"], frame.json["cursor"])
        message = await stored_answer(second, thread, accepted["run_id"])
    assert [f.json["sequence"] for f in seen] == list(range(1, len(seen) + 1))
    assert message["content"] == expected_text("tokens=150 rate=50")
    await mesh.wait_ready(changed=stopped)


async def test_a_viewer_that_does_not_read_holds_nobody_up_and_misses_nothing(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        content = "tokens=6000 rate=3000"
        accepted = await send(client, thread, content)
        address = urlsplit(mesh.urls[0])
        request = (
            f"GET /v1/runs/{accepted['run_id']}/events HTTP/1.1\r\nhost: {address.netloc}\r\n"
            f"authorization: Bearer {mesh.token()}\r\n\r\n"
        ).encode()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((address.hostname or "", address.port or 0))
            slow.sendall(request)
            others = await asyncio.gather(*[to_the_end(client, accepted["run_id"]) for _ in range(5)])
            slow.settimeout(20)
            received = b""
            while b"event: run.completed" not in received[-4000:]:
                piece = await asyncio.to_thread(slow.recv, 65536)
                assert piece, "the stream of the slow viewer ended early"
                received += piece
        message = await stored_answer(client, thread, accepted["run_id"])
    assert message["content"] == expected_text(content)
    assert len({tuple(f.data for f in seen) for seen in others}) == 1
    assert received.count(b"event: text.delta") == sum(f.event == "text.delta" for f in others[0])


async def test_a_run_that_fails_says_why_and_stores_what_was_shown(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=40 rate=200 cut_after=20 cut=no_finish")
        seen = await to_the_end(client, accepted["run_id"])
        message = await stored_answer(client, thread, accepted["run_id"])
    assert seen[-1].event == "run.failed"
    assert seen[-1].json["code"] == "upstream_incomplete"
    assert message["status"] == "error"
    assert message["error"]["code"] == "upstream_incomplete"
    assert message["content"] == expected_text("tokens=40 rate=200")[: len(message["content"])]
    assert message["content"]


async def test_an_upstream_that_limits_is_asked_again(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=5 status=429 times=2 retry_after=1")
        message = await stored_answer(client, thread, accepted["run_id"])
    assert message["status"] == "complete"


async def test_two_hundred_kilobytes_pass(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "x" * 200_000)
        message = await stored_answer(client, thread, accepted["run_id"])
        items = (await client.get(f"/v1/threads/{thread}/messages")).json()["items"]
    assert message["status"] == "complete"
    assert items[0]["content"] == "x" * 200_000


async def test_the_answer_of_a_deleted_thread_is_not_there_any_more(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=5 rate=200")
        await stored_answer(client, thread, accepted["run_id"])
        assert (await client.delete(f"/v1/threads/{thread}")).status_code == 204
        gone = await client.get(f"/v1/runs/{accepted['run_id']}/events")
    assert (gone.status_code, gone.json()["code"]) == (404, "run_not_found")
