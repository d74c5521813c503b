"""Which TCP ports of the loopback address are free."""

import random
import socket
from collections.abc import Collection
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the ranges that Linux (32768) and macOS (49152) take for outgoing connections: one of those could hold the port of a
# part at the very moment it is restarted.
_FIRST: Final = 20_000
_LAST: Final = 29_999


class NoFreePortError(Exception):
    """Every port that was tried is taken. Nothing was started."""


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Nobody listens on the port, and this user may listen on it."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """A free port for a part of the mesh that nobody outside it calls; none of `taken`."""
    for _ in range(200):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - a choice, not a secret
        if port not in taken and is_free(port):
            return port
    raise NoFreePortError(f"no free port was found between {_FIRST} and {_LAST} on {LOOPBACK}")


def next_free(first: int, count: int = 1) -> int | None:
    """The lowest port from `first` on such that it and the `count - 1` after it are free; None when the next 200 have none."""
    for port in range(first, min(first + 200, 65_536 - count)):
        if all(is_free(port + following) for following in range(count)):
            return port
    return None
