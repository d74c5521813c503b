"""What conversation keeps: users, threads, messages, runs. Times are aware datetimes, in milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from contracts.client_tools import is_results
from contracts.parts import Part
from contracts.usage import Usage

from conversation.domain.members import Member

Status = Literal["pending", "generating", "waiting", "complete", "error", "cancelled"]
"""`waiting` is shown of a run and never stored: a run's stored status is pending until its end."""
Held = Literal["", "queue", "time"]
Role = Literal["system", "user", "assistant", "tool"]
"""A system message is only ever brought along by a client, in a history; a tool's was appended by an internal service, or holds
a client's results."""
DURABLE = "durable_event"
LEGACY = "legacy_sync"
"""The path on which the answer lives with the request; docs/removing-legacy.md."""
SHADOW = "shadow"
"""Asked for and never stored: LEGACY answers, and DURABLE once more, unseen (domain.shadows)."""
OPEN: tuple[Status, ...] = ("pending", "generating")
"""Statuses that may still change; the others never do."""
NORMAL = "normal"
TEMPORARY = "temporary"
KINDS = (NORMAL, TEMPORARY)
"""Of threads: how long each is kept is a setting."""


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
    """A thread. `model` is empty where nobody chose one; `length` counts its messages; `head` is the last one's id,
    along the branch that goes on. `last_run` is the run behind which the next one queues; `branch_labels` are by the branch's
    id. `user_id` is the owner; `members` are the others, in the order in which they joined, `former` those who were once."""

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
    on_busy: str = ""
    last_run: str = ""
    branch_labels: Mapping[str, str] = field(default_factory=dict)
    kind: str = NORMAL
    members: tuple[Member, ...] = ()
    former: tuple[str, ...] = ()
    owned_since: datetime | None = None
    """Where it was handed over: when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `position` counts from 1 within the thread, in the order of acceptance. `sequence` is the run sequence
    that an assistant message shows. `parts` is empty for a message that is only its `content`. `user_id` is who wrote it, or
    whose message an answer answers; `cancelled_by` is who stopped an answer."""

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
    waiting: bool = False
    """Its run waits for a timer or a person."""
    cancelled_by: str = ""
    service: str = ""
    """The internal service that appended it and wanted an answer to it."""

    @property
    def is_appended(self) -> bool:
        """An internal service put it here, in whose name ever."""
        return (self.role == "tool" and not self.is_results) or bool(self.service)

    @property
    def is_results(self) -> bool:
        """It holds what came of calls that an answer left to the client."""
        return is_results(self.role, self.parts)

    @property
    def author(self) -> str:
        """The user who wrote it; empty for an answer."""
        return self.user_id if self.role == "user" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `question_id` is the user message it answers, `message_id` the assistant message it fills. `shadowed`: when it
    has ended, a shadow repeats it. `departed_at` is when nobody watched it any more, before its end.

    While it is `held`, no worker knows of it: in the queue `behind` another run, which has it as its `next_run`, or until
    `start_at`; `floating` says that its question then joins the branch that goes on. `steers` are the messages that were sent to join it. `roles` are the author's, when it was accepted.
    `check_at` is when somebody looks whether its command was lost (domain.revival); None once it has ended. `client` is what
    the client's protocol wants to find again with it, `client_tools` what the client brought for the model to call, as JSON, `context` what it shall know for this run alone. `user_id` is whose message it answers: tools act for that user, who
    pays. `audience` is everybody in the thread, the owner first; empty where the owner is alone.
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
    recorded_at: datetime | None = None
    usage: Usage | None = None
    cost_microusd: int | None = None
    error_code: str = ""
    error_message: str = ""
    final_sequence: int = 0
    attempts: int = 0
    client: str = ""
    first_text_at: datetime | None = None
    agent: str = ""
    roles: tuple[str, ...] = ()
    client_tools: str = ""
    context: str = ""
    held: Held = ""
    behind: str = ""
    next_run: str = ""
    start_at: datetime | None = None
    floating: bool = False
    steers: tuple[str, ...] = ()
    shadowed: bool = False
    departed_at: datetime | None = None
    audience: tuple[str, ...] = ()
    cancelled_by: str = ""

    @property
    def owner_id(self) -> str:
        """The thread's owner."""
        return self.audience[0] if self.audience else self.user_id

    def again(self, check_at: datetime) -> "Run":
        """The run after one more revival."""
        return replace(self, revivals=self.revivals + 1, check_at=check_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A run as somebody who is in its thread comes to it: with the thread, for what the role allows, and the answer."""

    run: Run
    thread: Thread
    answer: Message | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message for the broker. `message_id` is its `Nats-Msg-Id`. `purge` names a thread whose run log goes first.
    With `at` it is a timer: `subject` is where it is kept until then, `due` where it goes."""

    subject: str
    payload: bytes = field(repr=False)
    message_id: str
    purge: str = ""
    at: datetime | None = None
    due: str = ""
