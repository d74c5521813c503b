"""Request bodies: read whole, up to a limit."""

import asyncio
from collections.abc import Mapping
from typing import Final

from contracts.codes import Code
from starlette.types import Receive

from gateway.domain.problems import Refusal

LINGER_BYTES: Final = 16 * 1024 * 1024
LINGER_SECONDS: Final = 5.0


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes | None:
    """The whole body; None where the client left. Raises Refusal when it is larger than `limit` bytes."""
    length = headers.get("content-length", "0")
    pieces: list[bytes] = []
    size, more = 0, True
    too_large = length.isdigit() and int(length[:20]) > limit
    while more and not too_large:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        too_large = size > limit
    if too_large:
        pieces.clear()
        await _discard(receive)
        raise Refusal(Code.BODY_TOO_LARGE, f"The body is larger than {limit} bytes.", headers={"connection": "close"})
    return b"".join(pieces)


async def _discard(receive: Receive) -> None:
    """Take what is on its way: a connection that is closed on unread bytes is reset, and the client never reads why."""
    discarded, more = 0, True
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while more and discarded < LINGER_BYTES:
                message = await receive()
                discarded += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        return
