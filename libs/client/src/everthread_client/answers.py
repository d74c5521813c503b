"""What the calls answer, typed. Fields that a newer server adds are ignored."""

from typing import Any

import msgspec


class Thread(msgspec.Struct, kw_only=True):
    """A thread, as far as this client uses it. `role` is what the caller may do in it, `members` how many people there are,
    `branch` a message of the branch that goes on, `unread` how many entries of the caller's feed are unread."""

    id: str
    title: str = ""
    model: str = ""
    created_at: str = ""
    updated_at: str = ""
    agent: str = ""
    branch: str = ""
    role: str = "owner"
    owner_id: str = ""
    members: int = 1
    unread: int = 0


class Message(msgspec.Struct, kw_only=True):
    """A stored message; a running answer has its text so far. `author` is who wrote it, or who asked for it."""

    id: str
    role: str
    status: str
    content: str = ""
    parts: list[dict[str, Any]] = []
    run_id: str | None = None
    parent_message_id: str | None = None
    author: str | None = None
    cancelled_by: str | None = None
    error: dict[str, str] | None = None
    created_at: str = ""


class Branch(msgspec.Struct, kw_only=True):
    """A branch of a thread. `parent_message_id` is where it departs from an older one; `head` is its last message."""

    id: str
    head: str
    label: str = ""
    parent_message_id: str | None = None
    length: int = 0
    active: bool = False
    created_at: str = ""


class Member(msgspec.Struct, kw_only=True):
    """Somebody in a thread: owner, editor or viewer."""

    user_id: str
    role: str


class Invitation(msgspec.Struct, kw_only=True):
    """What a link lets one into: `role` in the thread of that title, until `expires_at`; `own_role` is what the caller is in it
    already, None for nothing."""

    title: str
    invited_by: str
    role: str
    expires_at: str
    own_role: str | None = None


class Present(msgspec.Struct, kw_only=True):
    """A member who is there now."""

    user_id: str
    connections: int = 0
    typing: bool = False


class Presence(msgspec.Struct, kw_only=True, tag_field="type", tag="presence"):
    """Everybody who is in a thread now."""

    thread_id: str
    items: list[Present]


class Unread(msgspec.Struct, kw_only=True):
    """How much the caller has not read. Follow the feed from `cursor` to hear of all that comes after."""

    total: int
    cursor: str


class Me(msgspec.Struct, kw_only=True):
    """The caller. `id` is what other users and internal services call it."""

    id: str
    role: str = "user"


class Accepted(msgspec.Struct, kw_only=True):
    """A message that will be answered: follow `run_id`, from `cursor` if it is not empty. `steered`: it joins an answer that
    goes on; `queued`: its answer begins after those before it."""

    message_id: str
    assistant_message_id: str
    run_id: str
    path: str
    cursor: str = ""
    steered: bool = False
    queued: bool = False


class Problem(msgspec.Struct, kw_only=True):
    """The members of a problem document (RFC 9457) that are used here."""

    code: str = ""
    detail: str = ""
    title: str = ""
