"""Is a part ready? Asked by `up` while it starts one, and by `ps` and `doctor` of what runs."""

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Final

from everthread.ports import LOOPBACK

_OP_MSG: Final = 2013
_HELLO: Final = (
    # BSON of {hello: 1, $db: "admin"}.
    b"\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
)


def http_status(port: int, path: str, timeout: float = 1.0) -> int:
    """The status of GET on loopback; 0 when nothing answers in time. By hand: an HTTP library takes longer to import than
    `ps` may take."""
    words = _get(port, path, timeout).partition(b"\r\n")[0].split()
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0


def http_body(port: int, path: str, timeout: float = 3.0) -> str:
    """The body of GET on loopback, whatever its status; empty when nothing answers in time."""
    return _get(port, path, timeout).partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


def _get(port: int, path: str, timeout: float) -> bytes:
    request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.sendall(request)
            return connection.makefile("rb").read(65_536)
    except OSError:
        return b""


def mongo_hello(port: int, timeout: float = 1.0) -> bytes:
    """What the MongoDB server on the loopback port answers to `hello`, in BSON; empty when nothing answers in time. By hand: its
    driver takes longer to import than the rest of `up`."""
    body = b"\x00\x00\x00\x00\x00" + _HELLO
    message = struct.pack("<iiii", 16 + len(body), 1, 0, _OP_MSG) + body
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.sendall(message)
            source = connection.makefile("rb")
            header = source.read(16)
            return source.read(struct.unpack_from("<i", header)[0] - 16) if len(header) == 16 else b""
    except OSError:
        return b""


def refuses(port: int) -> bool:
    """Nothing listens on the loopback port. The kernel tells at once; what it has not told after 20 ms may be listening."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=0.02).close()
    except OSError as error:
        return error.errno == errno.ECONNREFUSED
    return False


def accepts(port: int, timeout: float = 1.0) -> bool:
    """Something listens on the loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def alive(pid: int) -> bool:
    """The process exists and is no zombie that its parent has not yet collected."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(") ")[2][:1]
    except OSError:
        return True
    return state != "Z"
