"""What conversation keeps: users, threads, messages, runs. Times are aware datetimes, in milliseconds."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from contracts.parts import Part
from contracts.usage import Usage

Status = Literal["pending", "generating", "complete", "error", "cancelled"]
Role = Literal["system", "user", "assistant"]
"""A system message is only ever brought along by a client, in a history."""
DURABLE = "durable_event"
LEGACY = "legacy_sync"
"""The path on which the answer lives with the request; docs/removing-legacy.md."""
SHADOW = "shadow"
"""Asked for and never stored: LEGACY answers, and DURABLE once more, unseen (domain.shadows)."""
OPEN: tuple[Status, ...] = ("pending", "generating")
"""Statuses that may still change; the others never do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a user wants in every thread."""

    system_prompt: str = ""
    default_model: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person, created when first seen."""

    id: str
    created_at: datetime
    preferences: Preferences = Preferences()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread. `model` is empty where nobody chose one; `length` counts its messages; `head` is the last one's id."""

    id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    title: str = ""
    model: str = ""
    agent: str = ""
    archived: bool = False
    pinned: bool = False
    starred: bool = False
    tags: tuple[str, ...] = ()
    length: int = 0
    head: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `position` counts from 1 within the thread, in the order of acceptance. `sequence` is the run sequence
    that an assistant message shows. `parts` is empty for a message that is only its `content`."""

    id: str
    thread_id: str
    user_id: str
    position: int
    role: Role
    status: Status
    created_at: datetime
    content: str = ""
    parts: tuple[Part, ...] = ()
    model: str = ""
    usage: Usage | None = None
    cost_microusd: int | None = None
    run_id: str = ""
    parent_message_id: str = ""
    error_code: str = ""
    error_message: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `question_id` is the user message it answers, `message_id` the assistant message it fills. `shadowed`: when it
    has ended, a shadow repeats it. `departed_at` is when nobody watched it any more, before its end.

    `check_at` is when somebody looks whether its command was lost (domain.revival); None once it has ended. `client` is what
    the client's protocol wants to find again with it.
    """

    id: str
    thread_id: str
    user_id: str
    question_id: str
    message_id: str
    model: str
    path: str
    status: Status
    created_at: datetime
    deadline_at: datetime
    check_at: datetime | None = None
    revivals: int = 0
    ended_at: datetime | None = None
    usage: Usage | None = None
    cost_microusd: int | None = None
    error_code: str = ""
    error_message: str = ""
    final_sequence: int = 0
    attempts: int = 0
    client: str = ""
    first_text_at: datetime | None = None
    shadowed: bool = False
    departed_at: datetime | None = None

    def again(self, check_at: datetime) -> "Run":
        """The run after one more revival."""
        return replace(self, revivals=self.revivals + 1, check_at=check_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message for the broker. `message_id` is its `Nats-Msg-Id`. `purge` names a thread whose run log goes first."""

    subject: str
    payload: bytes = field(repr=False)
    message_id: str
    purge: str = ""
