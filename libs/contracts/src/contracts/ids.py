"""Ids: a lower-case prefix that says what it names, an underscore, a ULID (sortable by time of creation).

An id is checked before it reaches a subject or a query: `.`, `*` and `>` would be an injection into a NATS subject.
"""

import hashlib
import re
from typing import Final

from ulid import ULID

THREAD: Final = "thr"
MESSAGE: Final = "msg"
RUN: Final = "run"
USER: Final = "usr"
FACT: Final = "fct"
DOCUMENT: Final = "doc"
WEBHOOK: Final = "whk"
DEVICE: Final = "dev"
SCHEDULE: Final = "sch"

_FORM: Final = re.compile(r"[a-z]{3}_[0-9A-HJKMNP-TV-Z]{26}")
_SHARED_CORPUS: Final = re.compile(r"shared-[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")


class InvalidIdError(ValueError):
    """The text is no id of the kind asked for. Nothing was looked up."""


def new_id(prefix: str) -> str:
    """A new id such as `run_01JABC…`. Ids made later sort later (to the millisecond)."""
    return f"{prefix}_{ULID()}"


def check_id(prefix: str, text: str) -> str:
    """Return `text` when it is a well-formed id with that prefix, else raise InvalidIdError."""
    if not text.startswith(prefix + "_") or _FORM.fullmatch(text) is None:
        raise InvalidIdError(f"not a {prefix}_ id: {text[:40]!r}")
    return text


def moment_of(id: str) -> float:
    """When the id was made, in seconds since 1970, to the millisecond. Raises InvalidIdError for what is no id."""
    if _FORM.fullmatch(id) is None:
        raise InvalidIdError(f"not an id: {id[:40]!r}")
    return ULID.from_str(id[4:]).timestamp


def first_id(prefix: str, seconds: float) -> str:
    """The least id that could be made at that moment, in seconds since 1970: all made later sort behind it."""
    return f"{prefix}_{str(ULID.from_timestamp(seconds))[:10]}{'0' * 16}"


def check_corpus(text: str) -> str:
    """Return `text` when it names a corpus: a user's id (that user's own) or `shared-<name>`; else raise InvalidIdError."""
    return text if _SHARED_CORPUS.fullmatch(text) else check_id(USER, text)


def user_id_of(issuer: str, subject: str) -> str:
    """The user's id, derived from the token's `iss` and `sub`: the same person always gets the same id, with no look-up."""
    return derived_id(USER, issuer, subject)


def derived_id(prefix: str, *names: str) -> str:
    """An id made from names that somebody else chose: the same names always give the same id, with no look-up.

    128 bits of SHA-256, written as a ULID, so that it is one subject token whatever characters the names have.
    """
    digest = hashlib.sha256("\x00".join(names).encode()).digest()[:16]
    return f"{prefix}_{ULID(bytes([digest[0] & 0x7F]) + digest[1:])}"
