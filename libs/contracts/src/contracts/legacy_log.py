"""The log of an ended legacy run as one entry of RUNS: every event that its caller was told, so that whoever comes back after the
end is told the same at any gateway. Deleted with the path (docs/removing-legacy.md)."""

import zlib
from collections.abc import Sequence

_BETWEEN = b"\n"
"""No event has one: JSON spells it \\n."""


def encode_told(events: Sequence[bytes]) -> bytes:
    """Encoded run events, from the first to the terminal one."""
    return zlib.compress(_BETWEEN.join(events))


def decode_told(data: bytes) -> list[bytes]:
    """The same bytes again."""
    return zlib.decompress(data).split(_BETWEEN)
