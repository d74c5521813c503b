"""One message, one trace: HTTP, gRPC, MongoDB, NATS, the worker and the model call, received as real OTLP."""

import asyncio
import signal
import time

from tests.mesh import Mesh, create_thread, send, stored_answer
from tests.otlp_receiver import OtlpReceiver


async def test_one_trace_covers_all_services(mesh: Mesh, otlp: OtlpReceiver) -> None:
    trace_id = "5e1f" * 8
    async with mesh.client() as client:
        thread = await create_thread(client)
        response = await client.post(
            f"/v1/threads/{thread}/messages",
            json={"content": "tokens=10 rate=200"},
            headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
        )
        accepted = response.json()
        assert response.headers["x-trace-id"] == trace_id
        await stored_answer(client, thread, accepted["run_id"])
    wanted = {"everthread-gateway", "everthread-conversation", "everthread-inference", "everthread-notifier"}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        spans = [span for span in otlp.spans() if span.trace_id == trace_id]
        known = {span.span_id for span in spans} | {"00f067aa0ba902b7"}
        orphans = [(span.service, span.name) for span in spans if span.parent_span_id not in known]
        # A service exports in batches: a span may come a second before its parent.
        ended = any(span.name == "process thread.*.run.ended" for span in spans)
        if {span.service for span in spans} >= wanted and not orphans and ended:
            break
        await asyncio.sleep(0.3)
    assert {span.service for span in spans} >= wanted, sorted({(s.service, s.name) for s in spans})
    assert not orphans, f"spans without their parent: {orphans}"
    assert any("gen_ai.request.model" in span.attributes for span in spans)
    assert any("db.system.name" in span.attributes or "db.system" in span.attributes for span in spans)
    assert any("messaging.system" in span.attributes for span in spans)
    # From the snapshot of the end to what conversation stores of it, and from there to the user's feed.
    sequence = [(span.service, span.name) for span in spans]
    assert ("everthread-conversation", "process run.*.*.snapshot") in sequence
    assert ("everthread-notifier", "process thread.*.run.ended") in sequence
    # No span per token, and no text of a message on any span.
    assert len(spans) < 60
    assert not any("tokens=10" in str(value) for span in spans for value in span.attributes.values())


async def test_a_takeover_starts_a_root_of_its_own_and_links_back(mesh: Mesh, otlp: OtlpReceiver) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=700 rate=50")
        await asyncio.sleep(1)
        log = (await client.get(f"/v1/runs/{accepted['run_id']}/state")).json()
        victim = next(name for name in mesh.ps() if log["worker"].startswith(name))
        killed = {victim: mesh.signal(victim, signal.SIGKILL)}
        await stored_answer(client, thread, accepted["run_id"])
    await mesh.wait_ready(changed=killed)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        second = [
            span
            for span in otlp.spans()
            if span.attributes.get("everthread.run_id") == accepted["run_id"]
            and span.attributes.get("everthread.attempt") == 2
            and span.links
        ]
        if second:
            break
        await asyncio.sleep(0.3)
    assert second, "the second attempt's span, with a link to the trace it goes on from"
    assert second[0].parent_span_id == ""
