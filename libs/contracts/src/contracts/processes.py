"""Who runs: the values of the key-value bucket `processes`, under `subjects.process_subject`.

Each process of the mesh writes that it lives, again and again, with a life of a few beats: what a killed one said expires by
itself. No entry is ever in a database.
"""

from typing import Final, Literal

import msgspec

Kind = Literal["gateway", "conversation", "inference", "notifier"]
KINDS: Final[tuple[Kind, ...]] = ("gateway", "conversation", "inference", "notifier")


class Heartbeat(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry. `name` is that of the process's connection to the broker, as run logs show it; times are RFC 3339 UTC. `slots`
    is how many runs it executes at once, None for what executes none. `gone`: it has stopped in order."""

    name: str
    kind: Kind
    version: str
    started_at: str
    seen_at: str
    slots: int | None = None
    slots_in_use: int | None = None
    gone: bool = False


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Heartbeat] = msgspec.json.Decoder(Heartbeat)


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """The bytes in the bucket."""
    return _encoder.encode(heartbeat)


def decode_heartbeat(data: bytes) -> Heartbeat:
    """Read it back; unknown fields are ignored; raises msgspec.ValidationError."""
    return _decoder.decode(data)
