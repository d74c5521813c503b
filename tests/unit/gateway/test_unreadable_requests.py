"""What cannot be read as HTTP is refused with a problem document, like everything else."""

from http import HTTPMethod, HTTPStatus
from typing import Any, cast

import msgspec
import pytest
from contracts.codes import Code
from gateway.entrypoints.http_protocols import HttpProtocol
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState


class Transport:
    """What was written, and whether the connection was closed."""

    def __init__(self) -> None:
        self.written, self.closing = b"", False

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """No application."""


@pytest.mark.parametrize("path", ["FOO /v1/me", "/v1/me", f"{HTTPMethod.GET} /{'x' * 70_000}", "\x16\x03\x01\x02"])
def test_what_is_no_request_is_refused_with_a_problem(path: str) -> None:
    transport = Transport()
    config = Config(nothing, http="httptools", log_config=None, lifespan="off")
    config.load()
    protocol = HttpProtocol(5.0, config=config, server_state=ServerState(), app_state={}, _loop=cast("Any", object()))
    protocol.connection_made(cast("Any", transport))
    protocol.data_received(f"{path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    head, _, body = transport.written.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == f"HTTP/1.1 {HTTPStatus.BAD_REQUEST.value} Bad Request"
    assert {"content-type: application/problem+json", f"content-length: {len(body)}"} <= set(lines)
    problem = msgspec.json.decode(body)
    assert (problem["status"], problem["code"]) == (HTTPStatus.BAD_REQUEST, Code.REQUEST_INVALID)
    assert transport.closing
