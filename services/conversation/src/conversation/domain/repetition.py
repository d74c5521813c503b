"""Making something once per idempotency key."""

import hashlib

import msgspec
from contracts.codes import Code

from conversation.domain.acceptance import USED_BEFORE, Remembered
from conversation.domain.refusals import RefusedError


def body_hash_of(call: str, *asked: object) -> bytes:
    """Tells the same key with another request: of another body, or to another call."""
    return hashlib.sha256(msgspec.json.encode([call, *asked])).digest()


def check_same(remembered: Remembered, body_hash: bytes) -> str:
    """The id of what this same request made before. Raises RefusedError where the key was used for another."""
    if not remembered.made or remembered.body_hash != body_hash:
        raise RefusedError(Code.IDEMPOTENCY_MISMATCH, USED_BEFORE)
    return remembered.made
