"""Health: what the two paths answer, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from runtime.health import Health


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    server = Health()
    yield server
    await server.close()


async def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


async def readiness(port: int) -> tuple[int, dict[str, object]]:
    status, body = await ask(port, "/readyz")
    return status, json.loads(body)


async def test_alive_at_once_ready_only_with_checks(health: Health) -> None:
    port = await health.serve("127.0.0.1", 0)
    assert (await ask(port, "/healthz"))[0] == 200
    assert await readiness(port) == (503, {"ready": False, "draining": False, "checks": {}})
    assert not health.was_ready
    health.check("nats", lambda: True)
    assert await readiness(port) == (200, {"ready": True, "draining": False, "checks": {"nats": True}})
    assert health.was_ready


async def test_says_which_check_failed(health: Health) -> None:
    port = await health.serve("127.0.0.1", 0)

    async def away() -> bool:
        raise ConnectionError("nobody there")

    async def well() -> bool:
        return True

    health.check("nats", well)
    health.check("mongodb", away)
    health.check("model", lambda: False)
    status, body = await readiness(port)
    assert status == 503
    assert body["checks"] == {"nats": True, "mongodb": False, "model": False}


async def test_draining_is_not_ready(health: Health) -> None:
    port = await health.serve("127.0.0.1", 0)
    health.check("nats", lambda: True)
    health.set_draining()
    assert await readiness(port) == (503, {"ready": False, "draining": True, "checks": {"nats": True}})
    assert (await ask(port, "/healthz"))[0] == 200


async def test_other_paths_methods_and_routes(health: Health) -> None:
    port = await health.serve("127.0.0.1", 0)

    async def metrics() -> tuple[int, str, bytes]:
        return 200, "text/plain", b"figures\n"

    health.route("/metrics", metrics)
    assert await ask(port, "/metrics?x=1") == (200, b"figures\n")
    assert (await ask(port, "/"))[0] == 404
    assert (await ask(port, "/healthz", "POST"))[0] == 405
    assert await ask(port, "/healthz", "HEAD") == (200, b"")


async def test_a_caller_that_sends_rubbish_harms_nobody(health: Health) -> None:
    port = await health.serve("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x00" * 20_000)
    with_reset = await asyncio.gather(reader.read(), return_exceptions=True)
    assert with_reset[0] == b"" or isinstance(with_reset[0], ConnectionError)
    writer.close()
    assert (await ask(port, "/healthz"))[0] == 200


async def test_closing_does_not_wait_for_silent_callers(health: Health) -> None:
    port = await health.serve("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await ask(port, "/healthz")
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    await health.close()
    assert await reader.read() == b""
    writer.close()
    assert said == []
