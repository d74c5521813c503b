"""The WebSocket with real processes: its gateway is killed, the other one goes on where the client was."""

import signal

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.gateway_ws.talk import talking
from tests.mesh import Mesh, create_thread, stored_answer
from tests.sse import text_of
from tests.upstream import expected_text

SLOW = "tokens=150 rate=50"


async def test_two_subscriptions_outlive_their_gateway(mesh: Mesh) -> None:
    async with mesh.client(1) as client:
        threads = [await create_thread(client), await create_thread(client)]
        runs: list[str] = []
        async with talking(mesh.urls[0], mesh.token()) as first:
            for thread in threads:
                accepted = await first.ask("send", "call", thread=thread, content=SLOW, idempotency_key=f"ws {thread}")
                assert accepted["type"] == "accepted", accepted
                runs.append(accepted["run_id"])
                await first.say("subscribe", id=accepted["run_id"], run=accepted["run_id"])
            while min(sum(event["type"] == "text.delta" for event in first.events(run)) for run in runs) < 10:
                await first.hear()
            killed = {"gateway-1": mesh.signal("gateway-1", signal.SIGKILL)}
            with pytest.raises(ConnectionClosed) as closed:
                await first.until("never")
            assert closed.value.rcvd is None, "a killed process says nothing"
        async with talking(mesh.urls[1], mesh.token()) as second:
            for run in runs:
                await second.say("subscribe", id=run, run=run, cursor=first.cursor(run))
            while sum(message["type"] == "ended" for message in second.seen) < 2:
                assert (await second.hear())["type"] != "error", second.seen[-1]
        for thread, run in zip(threads, runs, strict=True):
            events = [*first.events(run), *second.events(run)]
            assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
            message = await stored_answer(client, thread, run)
            assert text_of(events) == expected_text(SLOW) == message["content"]
    await mesh.wait_ready(changed=killed)
