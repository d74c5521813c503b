"""Which TCP ports of the loopback address are free."""

import contextlib
import random
import socket
import sys
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the ranges that Linux (32768) and macOS (49152) take for outgoing connections, one of which could hold the port of a part
# at the very moment it is restarted.
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


def free_port(count: int = 1) -> int:
    """The first of `count` free ports in a row, for servers that nobody was given an address of yet. They are kept for this process
    and what it starts, see `keep`: nobody else is given them, not even while the server of one is being started again. Raises
    NoFreePortError."""
    for _ in range(200):
        first = random.randint(_FIRST, _LAST - count)  # noqa: S311 - a choice, not a secret
        if keep(first, count, anew=True):
            return first
    raise NoFreePortError(f"no {count} free ports in a row were found between {_FIRST} and {_LAST} on {LOOPBACK}")


def keep(first: int, count: int = 1, *, anew: bool = False) -> bool:
    """Keep ports until this process ends: servers may listen on them, `free_port` of another process passes over them, and the
    system takes none for an outgoing connection. `anew`: only where nobody has them in any way. False where one is taken; none
    is kept then.

    On Linux, where a port may be bound twice while no more than one socket listens; elsewhere they are looked at and remembered.
    """
    kept: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as undo:
        for port in range(first, first + count):
            keeper = kept[port] = undo.enter_context(socket.socket())
            if anew and port in _KEPT:
                return False
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, not anew)
            try:
                keeper.bind((LOOPBACK, port))
            except OSError:
                return False
            # From here on a server may come, with whichever of the two it sets on its own socket.
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                keeper.setsockopt(socket.SOL_SOCKET, option, True)
        if sys.platform == "linux":
            for keeper in kept.values():
                # The socket itself stays open, for nobody closes its number.
                keeper.detach()
    _KEPT.update(kept)
    return True


_KEPT: Final[set[int]] = set()


def next_free(first: int, count: int = 1) -> int | None:
    """The lowest port from `first` on such that it and the `count - 1` after it are free; None when the next 200 have none."""
    for port in range(first, min(first + 200, 65_536 - count)):
        if all(is_free(port + following) for following in range(count)):
            return port
    return None
