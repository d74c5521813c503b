"""Keyset pages: an opaque cursor holds the sort key of the last item given out, so that a page never shifts."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from contracts.codes import Code
from contracts.ids import RUN, THREAD, InvalidIdError, check_id

from conversation.domain.refusals import RefusedError

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND = 253_402_300_799_000
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and where the next page starts; an empty cursor says that this is the last one."""

    items: Sequence[T]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """Where a thread stands in the list: pinned ones first, then the one updated last."""

    pinned: bool
    updated_at: datetime
    id: str


def write_thread_key(key: ThreadKey) -> str:
    """The cursor after a thread."""
    milliseconds = (key.updated_at - _EPOCH) // timedelta(milliseconds=1)
    return _write("t", [key.pinned, milliseconds, key.id])


def read_thread_key(cursor: str) -> ThreadKey | None:
    """Read it back; None for the first page."""
    if not cursor:
        return None
    match _read("t", cursor):
        case [bool(pinned), int(milliseconds), str(thread_id)] if (
            not isinstance(milliseconds, bool) and 0 <= milliseconds <= _LAST_MILLISECOND
        ):
            try:
                check_id(THREAD, thread_id)
            except InvalidIdError:
                raise _invalid() from None
            return ThreadKey(pinned, _EPOCH + timedelta(milliseconds=milliseconds), thread_id)
        case _:
            raise _invalid()


def write_run_key(run_id: str) -> str:
    """The cursor after a run."""
    return _write("r", [run_id])


def read_run_key(cursor: str) -> str:
    """Read it back; empty for the first page."""
    if not cursor:
        return ""
    match _read("r", cursor):
        case [str(run_id)]:
            try:
                return check_id(RUN, run_id)
            except InvalidIdError:
                raise _invalid() from None
        case _:
            raise _invalid()


def write_position(position: int) -> str:
    """The cursor after a message."""
    return _write("m", [position])


def read_position(cursor: str) -> int:
    """Read it back; 0 for the first page."""
    if not cursor:
        return 0
    match _read("m", cursor):
        case [int(position)] if not isinstance(position, bool) and 0 <= position < 2**53:
            return position
        case _:
            raise _invalid()


def _write(kind: str, values: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, *values], separators=(",", ":")).encode()).decode().rstrip("=")


def _read(kind: str, cursor: str) -> list[object]:
    if len(cursor) > _LONGEST or not cursor.isascii():
        raise _invalid()
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid() from None
    if not isinstance(values, list) or not values or values[0] != kind:
        raise _invalid()
    return values[1:]


def _invalid() -> RefusedError:
    return RefusedError(Code.CURSOR_INVALID, "The cursor is not one that was given out here. Start again without one.")
