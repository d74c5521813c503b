"""Idempotency keys: a name that a client gives one request, so that it can be repeated."""

from typing import Final

from contracts.codes import Code

from gateway.domain.problems import Refusal

MAX_CHARACTERS: Final = 200


def check_key(key: str | None) -> str:
    """The key as it goes on, empty where the client gave none. Raises Refusal for one that is empty or too long."""
    if key is None:
        return ""
    if not key.strip():
        raise Refusal(Code.IDEMPOTENCY_KEY_INVALID, "The Idempotency-Key is empty; leave the header out or give a key.")
    if len(key) > MAX_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise Refusal(
            Code.IDEMPOTENCY_KEY_INVALID, f"An Idempotency-Key is 1 to {MAX_CHARACTERS} printable ASCII characters."
        )
    return key
