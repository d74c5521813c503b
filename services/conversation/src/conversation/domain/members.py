"""Who may do what in a thread: owner, editor, viewer. The owner is whoever made the thread, or was handed it; everybody else was
invited."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeGuard

from contracts.codes import Code

from conversation.domain.refusals import RefusedError

if TYPE_CHECKING:
    from conversation.domain.entities import Thread

Role = Literal["owner", "editor", "viewer"]
Given = Literal["editor", "viewer"]
"""A role that can be given to somebody."""
Need = Literal["read", "write", "own"]
"""What a call does: look; send, stop, steer, answer, approve, rename; share, delete."""

MOST_MEMBERS: Final = 100
_RANK: Final[dict[Role, int]] = {"viewer": 0, "editor": 1, "owner": 2}
_LEAST: Final[dict[Need, Role]] = {"read": "viewer", "write": "editor", "own": "owner"}
_SENTENCES: Final[dict[Need, str]] = {
    "read": "",
    "write": "You may watch this thread but not change it; ask its owner to make you an editor.",
    "own": "Only the owner of this thread may do this.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody who is in a thread that is not theirs, since when, and who invited them: who handed the thread over, themselves."""

    user_id: str
    role: Given
    since: datetime
    by: str


def role_of(thread: "Thread", user_id: str) -> Role | None:
    """The user's role; None for a stranger."""
    if thread.user_id == user_id:
        return "owner"
    member = member_of(thread, user_id)
    return None if member is None else member.role


def member_of(thread: "Thread", user_id: str) -> Member | None:
    """The user as a member; None for a stranger, and for the owner."""
    return next((member for member in thread.members if member.user_id == user_id), None)


def allows(role: Role, need: Need) -> bool:
    """Whether the role is enough."""
    return _RANK[role] >= _RANK[_LEAST[need]]


def check_role(thread: "Thread", user_id: str, need: Need) -> None:
    """Refuses a member whose role is not enough. Strangers must have been refused before, with another sentence."""
    role = role_of(thread, user_id)
    if role is None or not allows(role, need):
        raise RefusedError(Code.FORBIDDEN, _SENTENCES[need])


def known_role(text: str) -> Given:
    """A role that can be given; refuses any other."""
    if _is_given(text):
        return text
    raise RefusedError(Code.BODY_INVALID, f"The role is {text[:40]!r}; it must be editor or viewer.")


def higher(one: Given, other: Given) -> Given:
    """The role that allows more."""
    return one if _RANK[one] >= _RANK[other] else other


def with_member(thread: "Thread", member: Member) -> "Thread":
    """The thread with one member more, or with another role for one that it has."""
    if any(known.user_id == member.user_id for known in thread.members):
        members = tuple(
            replace(known, role=member.role) if known.user_id == member.user_id else known for known in thread.members
        )
        return replace(thread, members=members)
    if len(thread.members) + 1 >= MOST_MEMBERS:
        raise RefusedError(Code.LIMIT_REACHED, f"A thread has at most {MOST_MEMBERS} people.")
    former = tuple(user_id for user_id in thread.former if user_id != member.user_id)
    return replace(thread, members=(*thread.members, member), former=former)


def without_member(thread: "Thread", user_id: str) -> "Thread":
    """The thread without a member, who is remembered as a former one: their feed still tells of it until it is deleted."""
    members = tuple(member for member in thread.members if member.user_id != user_id)
    former = tuple(dict.fromkeys((*thread.former, user_id)))
    return replace(thread, members=members, former=former)


def handed_over(thread: "Thread", member: Member, now: datetime) -> "Thread":
    """The thread as its member's; who owned it is an editor, and the first of the others."""
    before = Member(user_id=thread.user_id, role="editor", since=owned_since(thread), by=thread.user_id)
    others = tuple(known for known in thread.members if known.user_id != member.user_id)
    return replace(thread, user_id=member.user_id, members=(before, *others), owned_since=now)


def has_handed_over(thread: "Thread", user_id: str) -> bool:
    """Whether the user owned the thread once and handed it over."""
    return any(member.user_id == member.by == user_id for member in thread.members)


def owned_since(thread: "Thread") -> datetime:
    """Since when its owner has owned it."""
    return thread.owned_since or thread.created_at


def audience(thread: "Thread") -> tuple[str, ...]:
    """Everybody in it, the owner first; empty where the owner is alone."""
    return (thread.user_id, *(member.user_id for member in thread.members)) if thread.members else ()


def _is_given(text: str) -> TypeGuard[Given]:
    return text in ("editor", "viewer")
