"""The read-related part of durable-streams' own conformance suite, against the gateway's door over real HTTP."""

import asyncio
import json
from pathlib import Path

from gateway.adapters.run_feeds import Feeds
from gateway.entrypoints.app import build
from gateway.entrypoints.client_doors import open_doors
from gateway.entrypoints.server import HttpServer
from gateway.entrypoints.wiring import Doors

from tests.clients.node import HERE, install
from tests.integration.durable_streams.writing import WriteSide
from tests.integration.gateway.world import start_world

READS = (
    "Read Operations",
    "Long-Poll Operations",
    "HTTP Protocol should return correct headers on GET",
    "HTTP Protocol should return empty body with up-to-date for empty stream",
    "HTTP Protocol should read from offset",
    "Browser Security Headers .*(GET|HEAD|SSE|long-poll|error)",
    "HEAD Metadata should",
    "Offset Validation and Resumability",
    "Protocol Edge Cases .*(immutability|increasing offsets|offset parameter|unknown query)",
    "Long-Poll Edge Cases",
    "Caching and ETag",
    "Chunking and Large Payloads should handle chunk-size",
    "Read-Your-Writes Consistency",
    "SSE Mode (should (?!.*(base64|binary|Binary|injection|newlines))|JSON SSE)",
    "JSON Mode .*(iterator|preserve|various|concatenate|wrap single)",
    "Stream Closure HEAD with",
    "Stream Closure Read Closed",
    "Stream Closure Long-poll with",
    "Stream Closure SSE with",
)
"""What of the suite is about reading JSON messages. Left out: writing (create, append, close, delete, producers, forks, TTL,
subscriptions), and content types other than JSON, which this door does not have: base64 and line endings in text."""
PASSED = 89


async def test_the_read_side_is_what_the_protocol_says(tmp_path: Path) -> None:
    world = await start_world(origins=("https://example.com",))
    feeds = Feeds(world.bus.run_log, piece_bytes=65_536)
    doors, streams = open_doors(world.wiring, Doors(threads=world.client_of_conversation, feeds=feeds), long_poll=0.5)
    app, _ = build(world.wiring, version="0", client_doors=doors)
    server = HttpServer(WriteSide(app, world), "127.0.0.1", 0, grace=1)
    port = server.bind()
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    node = await asyncio.to_thread(install)
    report = tmp_path / "report.json"
    try:
        suite = await asyncio.create_subprocess_exec(
            str(node.path),
            str(HERE / "node_modules" / "vitest" / "vitest.mjs"),
            *("run", "durable_streams.test.mjs", "--reporter=json", f"--outputFile={report}", "--testTimeout=30000"),
            *("-t", "|".join(f"^{name}" for name in READS)),
            cwd=HERE,
            env=node.environment | {"EVERTHREAD_STREAMS": f"http://127.0.0.1:{port}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(180):
            said, _ = await suite.communicate()
    finally:
        streams.drain()
        server.stop()
        await serving
        await feeds.close()
        await world.close()
    assert report.is_file(), said.decode()
    ran = json.loads(report.read_text("utf-8"))["testResults"][0]["assertionResults"]
    failed = [f"{test['fullName']}: {test['failureMessages']}" for test in ran if test["status"] == "failed"]
    assert not failed, "\n".join(failed)
    # As docs/front-doors.md says.
    assert sum(test["status"] == "passed" for test in ran) == PASSED
