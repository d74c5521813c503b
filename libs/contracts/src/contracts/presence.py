"""Who is there: the values of the key-value bucket `presence`, under `subjects.presence_subject`.

Each gateway writes how many connections of a member watch a thread through it, again and again for as long as there are any,
with a life of a few beats: what a killed gateway said expires by itself. A member watches the thread while an entry of any
place is there that says so. No entry is ever in a database.
"""

from typing import Final

import msgspec

TYPING: Final = "typing"
"""The place under which it is said that a member types; every other place is a gateway's name."""


class Presence(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry. `connections` is 0 from a gateway whose last viewer has left; `at` is RFC 3339 UTC."""

    at: str
    connections: int = 0
    typing: bool = False


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Presence] = msgspec.json.Decoder(Presence)


def encode_presence(presence: Presence) -> bytes:
    """The bytes in the bucket."""
    return _encoder.encode(presence)


def decode_presence(data: bytes) -> Presence:
    """Read it back; unknown fields are ignored; raises msgspec.ValidationError."""
    return _decoder.decode(data)
