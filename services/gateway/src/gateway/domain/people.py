"""Who is in a thread, who may come in, and who is there now. Times are RFC 3339 UTC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from contracts.presence import Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody in a thread: owner, editor or viewer."""

    user_id: str
    role: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A link, without its token."""

    id: str
    role: str
    created_at: str
    expires_at: str
    max_uses: int
    uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a link means before one comes in by it. `own_role` is empty for who is not in the thread yet."""

    title: str
    invited_by: str
    role: str
    expires_at: str
    own_role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The thread that a link let its caller into, and as what."""

    thread_id: str
    title: str
    role: str


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """A member who is there: over how many connections, at whichever gateways, and whether they type."""

    user_id: str
    connections: int
    typing: bool


def who_is_there(entries: Iterable[tuple[str, Presence]]) -> list[Present]:
    """Everybody who watches or types, by user id, from what is said at each place."""
    connections: dict[str, int] = {}
    typing: set[str] = set()
    for user_id, entry in entries:
        connections[user_id] = connections.get(user_id, 0) + entry.connections
        if entry.typing:
            typing.add(user_id)
    return [
        Present(user_id=user_id, connections=count, typing=user_id in typing)
        for user_id, count in sorted(connections.items())
        if count or user_id in typing
    ]


def presence_frame(thread_id: str, present: Iterable[Present]) -> bytes:
    """The event on a thread's stream. It has no id: it is in no log, and a client's cursor stays where it is."""
    body: Mapping[str, object] = {"type": "presence", "thread_id": thread_id, "items": list(present)}
    return b"event: presence\ndata: %b\n\n" % msgspec.json.encode(body)
