"""The WebSocket's messages, both ways. An event's JSON is the log's own bytes, unchanged."""

from typing import Annotated, Any, Final, Literal

import msgspec
from contracts.codes import Code

from gateway.domain.problems import Refusal

ID_CHARACTERS: Final = 64

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARACTERS)]


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """What a client sends. `id` is the client's own name for a subscription or a call, and comes back with what answers it."""


class Auth(_Command, frozen=True, tag="auth"):
    """The first message: a token, or a ticket of this gateway."""

    token: str = ""
    ticket: str = ""


class Subscribe(_Command, frozen=True, tag="subscribe"):
    """Watch one thing: `run` or `thread` by its id, or with `feed` the user's own feed. `cursor` as in event streams."""

    id: Id
    run: str = ""
    thread: str = ""
    feed: bool = False
    cursor: str = ""


class Unsubscribe(_Command, frozen=True, tag="unsubscribe"):
    """Stop watching."""

    id: Id


class Send(_Command, frozen=True, tag="send"):
    """A message to answer. The same `idempotency_key` gives the same answer; without one, nothing is recognised again."""

    id: Id
    thread: str
    content: str
    model: Annotated[str, msgspec.Meta(max_length=100)] = ""
    parent_message_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    idempotency_key: str | None = None
    agent: Annotated[str, msgspec.Meta(max_length=64)] = ""
    on_busy: Literal["", "reject", "enqueue", "interrupt", "steer"] = ""
    run_at: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Input(_Command, frozen=True, tag="input"):
    """What a run waits for: any JSON that fits its schema. Without a `wait_id`: whatever it waits for now."""

    id: Id
    run: str
    value: Any
    wait_id: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Approve(_Command, frozen=True, tag="approve"):
    """Whether the tool call that a run waits with may be carried out."""

    id: Id
    run: str
    approved: bool
    wait_id: Annotated[str, msgspec.Meta(max_length=200)] = ""
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Steer(_Command, frozen=True, tag="steer"):
    """A message that joins a run's answer at its next step."""

    id: Id
    run: str
    content: str
    idempotency_key: str = ""


class Cancel(_Command, frozen=True, tag="cancel"):
    """Stop a run, keep what was written."""

    id: Id
    run: str


Command = Auth | Subscribe | Unsubscribe | Send | Cancel | Input | Approve | Steer

_commands: Final = msgspec.json.Decoder(Command)


class _Named(msgspec.Struct):
    id: str = ""


_named: Final = msgspec.json.Decoder(_Named)


def command_of(text: str) -> Command:
    """A client's message; raises Refusal."""
    try:
        command: Command = _commands.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refusal(Code.BODY_INVALID, f"The message is not understood: {error}.") from error
    if isinstance(command, Subscribe) and sum((bool(command.run), bool(command.thread), command.feed)) != 1:
        raise Refusal(Code.BODY_INVALID, 'Subscribe to exactly one of "run", "thread" and "feed".')
    return command


def id_of(text: str) -> str:
    """The id in a message that was refused, so that the refusal can name it; empty where it has none."""
    try:
        return _named.decode(text).id[:ID_CHARACTERS]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def answer(kind: str, name: str = "", /, **fields: Any) -> str:
    """A message to the client, of a type, about what the client calls `name`."""
    body = {"type": kind} | ({"id": name} if name else {}) | fields
    return msgspec.json.encode(body).decode()


def error(refusal: Refusal, name: str = "") -> str:
    """A refusal; `code` is stable, `retry_after` is in seconds."""
    fields: dict[str, Any] = {"code": refusal.code.value, "detail": refusal.detail}
    if refusal.retry_after is not None:
        fields["retry_after"] = int(refusal.headers["retry-after"])
    return answer("error", name, **fields)


def events(name: str, piece: bytes) -> list[str]:
    """The messages for whole frames of an event stream. Without an id of its own, an event has no cursor: the client keeps
    the one it has."""
    head = b'{"type":"event","id":%b' % msgspec.json.encode(name)
    found: list[str] = []
    for frame in piece.split(b"\n\n"):
        cursor = data = b""
        for line in frame.split(b"\n"):
            if line.startswith(b"data: "):
                data = line[6:]
            elif line.startswith(b"id: "):
                cursor = line[4:]
        if data:
            place = b',"cursor":"%b"' % cursor if cursor else b""
            found.append(b"".join((head, place, b',"event":', data, b"}")).decode())
    return found
