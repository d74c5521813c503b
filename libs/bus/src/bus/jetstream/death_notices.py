"""What a server says of a connection that is gone, and how much of a death that is."""

from dataclasses import dataclass
from typing import Final

import msgspec

SETTLED_SECONDS: Final = 5.0
"""So long after a reconnect of its own a process takes others for reconnecting, too. Longer than they need."""

_ENDED_BY_CLIENT: Final = frozenset({"Client Closed", "Read Error", "Write Error"})
"""What a server sees of a process that is gone (nats-server, ClosedState). For anything else, such as a slow consumer or a
stale connection, it closed a connection whose process may live."""


@dataclass(frozen=True, slots=True)
class DeathNotice:
    """A client's connection is gone. `is_certain`: in all likelihood its process is. It is not where the server ended the
    connection, or where nothing was ever sent on it: a client that gives up an attempt to connect leaves such a one."""

    name: str
    is_certain: bool


class _Client(msgspec.Struct):
    name: str | None = None


class _Traffic(msgspec.Struct, frozen=True):
    msgs: int = 0


class _Event(msgspec.Struct):
    client: _Client
    received: _Traffic = _Traffic()
    reason: str = ""


_decoder = msgspec.json.Decoder(_Event)


def read_notice(data: bytes) -> DeathNotice | None:
    """A server's disconnect event; None where it names no client."""
    try:
        event = _decoder.decode(data)
    except msgspec.DecodeError:
        return None
    if not event.client.name:
        return None
    return DeathNotice(event.client.name, event.reason in _ENDED_BY_CLIENT and event.received.msgs > 0)
