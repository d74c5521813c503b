"""Names that clients chose, as ids of ours: of that user only, since the user is part of what is hashed."""

import re
from typing import Final

from contracts.ids import RUN, THREAD, InvalidIdError, check_id, derived_id

_MESSAGE_OF: Final = re.compile(r"(msg_[0-9A-HJKMNP-TV-Z]{26})(?:-\d+)?")


def thread_of_chat(user_id: str, door: str, chat_id: str) -> str:
    """The thread behind a client's chat id; a thread id stands for itself."""
    try:
        return check_id(THREAD, chat_id)
    except InvalidIdError:
        return derived_id(THREAD, user_id, door, chat_id)


def run_of_name(name: str) -> tuple[str, int] | None:
    """`run_<ULID>` or `run_<ULID>.<segment>` as (run id, segment); None for any other name."""
    run_id, dot, segment = name.partition(".")
    try:
        check_id(RUN, run_id)
    except InvalidIdError:
        return None
    if not dot:
        return run_id, 0
    return (run_id, int(segment)) if segment.isascii() and segment.isdigit() and len(segment) < 6 else None


def stored_message_of(client_message_id: str) -> str:
    """Our message behind an id that a client got from us (AG-UI adds a part's number); empty where it is none of ours."""
    found = _MESSAGE_OF.fullmatch(client_message_id)
    return "" if found is None else found[1]
