"""Threads, messages and runs as the gateway gets them from conversation. Times are RFC 3339 UTC; money is micro-dollars."""

from dataclasses import dataclass, field
from typing import Final

from contracts.usage import Usage

ENDED: Final = frozenset({"complete", "error", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One thread of a user."""

    id: str
    title: str
    model: str
    agent: str
    archived: bool
    pinned: bool
    starred: bool
    tags: tuple[str, ...]
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One stored message. `parts_json` is the JSON array of its parts, as clients get it."""

    id: str
    thread_id: str
    role: str
    status: str
    content: str
    parts_json: bytes
    model: str
    usage: Usage | None
    cost_microusd: int | None
    run_id: str
    parent_message_id: str
    created_at: str
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as conversation has recorded it; its log knows more while it runs. `final_sequence` is 0 until it ended.

    `client` is what the client's protocol wanted to find again with it.
    """

    id: str
    thread_id: str
    message_id: str
    model: str
    path: str
    status: str
    created_at: str
    ended_at: str
    usage: Usage | None
    cost_microusd: int | None
    error_code: str
    error_message: str
    final_sequence: int
    attempts: int
    question_id: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message is stored and its answer will finish. `repeated`: it was stored before, under the same key."""

    message_id: str
    assistant_message_id: str
    run_id: str
    path: str
    repeated: bool = False
    command: bytes = field(default=b"", repr=False)
    """On the legacy path: the command to execute the run, which nobody has queued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a user wants in every thread. Empty: not set."""

    system_prompt: str
    default_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user with preferences."""

    id: str
    preferences: Preferences
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadChange:
    """What to change in a thread; None leaves it as it is."""

    title: str | None = None
    model: str | None = None
    archived: bool | None = None
    pinned: bool | None = None
    starred: bool | None = None
    tags: tuple[str, ...] | None = None
