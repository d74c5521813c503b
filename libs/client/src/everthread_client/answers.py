"""What the calls answer, typed. Fields that a newer server adds are ignored."""

import msgspec


class Thread(msgspec.Struct, kw_only=True):
    """A thread, as far as this client uses it."""

    id: str
    title: str = ""
    model: str = ""
    created_at: str = ""
    updated_at: str = ""


class Me(msgspec.Struct, kw_only=True):
    """The caller. `id` is what other users and internal services call it."""

    id: str
    role: str = "user"


class Accepted(msgspec.Struct, kw_only=True):
    """A message that will be answered: follow `run_id`, from `cursor` if it is not empty."""

    message_id: str
    assistant_message_id: str
    run_id: str
    path: str
    cursor: str = ""


class Problem(msgspec.Struct, kw_only=True):
    """The members of a problem document (RFC 9457) that are used here."""

    code: str = ""
    detail: str = ""
    title: str = ""
