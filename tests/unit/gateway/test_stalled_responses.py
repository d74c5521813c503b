"""A connection whose client reads nothing ends, and one whose client is slow does not."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from gateway.entrypoints.http_protocols import HttpProtocol
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

BIG = 1_000_000


class Loop:
    """Timers that fire when the test says so."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def call_later(self, _: float, call: Callable[[], None]) -> "Loop":
        self.due.append(call)
        return self

    def cancel(self) -> None:
        """Of a timer."""

    def create_task(self, work: Any) -> "Loop":
        work.close()
        return self

    def add_done_callback(self, _: object) -> None:
        """Of a task."""

    def pass_time(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


class Transport:
    """A connection whose `unsent` bytes nobody has read."""

    def __init__(self) -> None:
        self.unsent, self.aborted, self.closing = 0, False, False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = True

    def resume_reading(self) -> None:
        """Nothing was paused."""


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """No application."""


def asked(path: str) -> tuple[HttpProtocol, Transport, Loop]:
    """A connection on which a path was asked for, and whose socket is full of the answer."""
    loop, transport = Loop(), Transport()
    config = Config(nothing, http="httptools", log_config=None, lifespan="off")
    config.load()
    protocol = HttpProtocol(5.0, config=config, server_state=ServerState(), app_state={}, _loop=cast("Any", loop))
    protocol.connection_made(cast("Any", transport))
    protocol.data_received(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    transport.unsent = BIG
    protocol.pause_writing()
    return protocol, transport, loop


def test_an_answer_of_which_nothing_is_read_ends() -> None:
    _, transport, loop = asked("/v1/threads/t/export")
    loop.pass_time()
    assert transport.aborted


def test_a_slow_reader_gets_it_all() -> None:
    protocol, transport, loop = asked("/v1/threads/t/export")
    for _ in range(3):
        transport.unsent -= 1000
        loop.pass_time()
    # It took some, and there came more.
    protocol.resume_writing()
    transport.unsent = BIG
    loop.pass_time()
    assert not transport.aborted
    transport.unsent = 0
    loop.pass_time()
    assert (transport.aborted, loop.due) == (False, [])


@pytest.mark.parametrize("path", ["/v1/threads/t/events", "/v1/me/events"])
def test_who_watches_may_be_slow_until_it_is_over(path: str) -> None:
    protocol, transport, loop = asked(path)
    loop.pass_time()
    assert not transport.aborted
    protocol.cycle.response_complete = True
    loop.pass_time()
    assert transport.aborted


def test_a_small_rest_that_nobody_reads_is_not_waited_for_either() -> None:
    protocol, transport, loop = asked("/v1/threads")
    transport.unsent = 0
    loop.pass_time()
    protocol.cycle.response_complete, transport.unsent = True, 10
    protocol.timeout_keep_alive_handler()
    assert (transport.closing, transport.aborted) == (True, False)
    loop.pass_time()
    assert transport.aborted
