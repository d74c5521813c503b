"""The broker stands still for a while: what people read, and what they are told of what needs it."""

import asyncio
import signal

from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end, writing
from tests.upstream import expected_text


async def test_while_the_broker_stands_still_what_is_stored_is_shown_and_a_stop_is_not_promised(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread, other = await create_thread(client), await create_thread(client)
        ended = (await send(client, other, "tokens=20"))["run_id"]
        await stored_answer(client, other, ended)
        run = (await send(client, thread, "tokens=4000 rate=50"))["run_id"]
        await writing(mesh, client, run)
        nats = mesh.signal("nats", signal.SIGSTOP)
        try:
            # Far more than any of them may take; the bus itself goes on trying for longer.
            async with asyncio.timeout(25):
                past = asyncio.create_task(to_the_end(client, ended))
                stop, shown, messages, threads, stream, unread = await asyncio.gather(
                    client.post(f"/v1/runs/{run}/cancel"),
                    client.get(f"/v1/runs/{run}"),
                    client.get(f"/v1/threads/{thread}/messages"),
                    client.get("/v1/threads"),
                    client.get(f"/v1/runs/{run}/events"),
                    client.get("/v1/me/unread"),
                )
                replay = await past
        finally:
            mesh.send(nats, signal.SIGCONT)
        assert (shown.json()["status"], shown.json()["as_stored"]) == ("generating", True)
        assert [(item["role"], item["as_stored"]) for item in messages.json()["items"]] == [
            ("user", False),
            ("assistant", True),
        ]
        assert {item["as_stored"] for item in threads.json()["items"]} == {True}
        assert "".join(f.json["delta"] for f in replay if f.event == "text.delta") == expected_text("tokens=20")
        refused = [answer.json() for answer in (stop, stream, unread)]
        assert [(answer["status"], answer["code"]) for answer in refused] == [(503, "unavailable")] * 3
        assert "may have been recorded" in refused[0]["detail"]
        again = await client.post(f"/v1/runs/{run}/cancel")
        assert again.status_code in {202, 409}, "whether or not the first one counted"
        assert (await stored_answer(client, thread, run, within=30))["status"] == "cancelled"
