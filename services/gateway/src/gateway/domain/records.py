"""Threads, messages and runs as the gateway gets them from conversation. Times are RFC 3339 UTC; money is micro-dollars."""

from dataclasses import dataclass, field
from typing import Final

from contracts.parts import Part
from contracts.usage import Usage

ENDED: Final = frozenset({"complete", "error", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One thread, as one of those who are in it sees it: `role` is owner, editor or viewer, `members` counts everybody."""

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
    role: str = "owner"
    owner_id: str = ""
    members: int = 1
    kind: str = "normal"
    on_busy: str = ""
    branch: str = ""
    """A message of the branch that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One stored message. `parts_json` is the JSON array of its parts, as clients get it. `author` is the user who wrote it,
    `cancelled_by` the one who stopped an answer. `as_stored`: the log of a running answer did not answer, and knows more."""

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
    author: str = ""
    cancelled_by: str = ""
    as_stored: bool = False


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
    author: str = ""
    cancelled_by: str = ""
    agent: str = ""
    run_at: str = ""
    recorded_at: str = ""
    client_tools: bytes = field(default=b"", repr=False)
    """What the client brought for the model to call, as JSON (contracts.client_tools)."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A message that a client has before the new one; `stored_id` is ours where it is one of ours, else empty. `parts` are those
    of an answer that called tools, or their results."""

    role: str
    content: str
    stored_id: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message is stored and its answer will finish. `repeated`: it was stored before, under the same key."""

    message_id: str
    assistant_message_id: str
    run_id: str
    path: str
    repeated: bool = False
    steered: bool = False
    """The message joins a run that goes on."""
    queued: bool = False
    """Its answer has not begun: others of the thread go first, or its time has not come."""
    command: bytes = field(default=b"", repr=False)
    """On the legacy path: the command to execute the run, which nobody has queued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a user wants in every thread. Empty: not set."""

    system_prompt: str
    default_model: str
    path: str = ""


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
    agent: str | None = None
    on_busy: str | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """How a message is to be answered; empty texts mean "not given". At most one of the three ids may be: of a run that it joins,
    of a message that is answered anew, of one that it takes the place of. `roles` are the author's."""

    agent: str = ""
    on_busy: str = ""
    run_at: str = ""
    roles: tuple[str, ...] = ()
    steer_run_id: str = ""
    answers_message_id: str = ""
    replaces_message_id: str = ""
    branch_label: str = ""


PLAIN: Final = SendOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A line of messages of a thread; its id is that of the first message that only it has."""

    id: str
    label: str
    parent_message_id: str
    head: str
    length: int
    active: bool
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A message that is sent again and again."""

    id: str
    thread_id: str
    cron: str
    time_zone: str
    content: str
    model: str
    agent: str
    on_busy: str
    created_at: str
    next_at: str
    last_run_id: str
    last_refusal: str
    user_id: str = ""
    revision: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """What is changed of a schedule; None: as it is."""

    cron: str | None = None
    time_zone: str | None = None
    content: str | None = None
    model: str | None = None
    agent: str | None = None
    on_busy: str | None = None
    paused: bool | None = None
