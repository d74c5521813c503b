"""Accepting a message: everything that one transaction stores, worked out before anything is stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec
from contracts.codes import Code
from contracts.commands import ExecuteRun
from contracts.ids import FACT, MESSAGE, RUN
from contracts.parts import Part, ToolCallPart
from contracts.registry import Registry
from contracts.subjects import due_subject, execute_subject, timer_subject
from contracts.times import rfc3339

from conversation.domain.entities import LEGACY, SHADOW, Held, Message, Outgoing, Role, Run, Thread, User
from conversation.domain.facts import message_accepted, thread_updated
from conversation.domain.members import audience
from conversation.domain.refusals import RefusedError, unknown_model
from conversation.domain.titles import title_from


@dataclass(frozen=True, slots=True)
class Earlier:
    """A message that stands before a new one and is not in the thread yet: a client brought it along. `parts` are those of an
    answer that called tools, or their results."""

    role: Role
    content: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """What a user sends. `body_hash` tells the same idempotency key with another body; empty `model` means no choice.

    `from_root` begins a new branch without a parent; so does `history`, which then stands before the message in it. `service` is who appended it.
    """

    user_id: str
    thread_id: str
    content: str
    path: str
    model: str = ""
    idempotency_key: str = ""
    body_hash: bytes = b""
    parent_message_id: str = ""
    from_root: bool = False
    history: tuple[Earlier, ...] = ()
    client: str = ""
    agent: str = ""
    on_busy: str = ""
    roles: tuple[str, ...] = ()
    run_at: datetime | None = None
    steer_run_id: str = ""
    answers_message_id: str = ""
    replaces_message_id: str = ""
    branch_label: str = ""
    results: tuple[ToolCallPart, ...] = ()
    """Instead of a text: what came of calls that the answer before left to the client."""
    results_once: bool = False
    """Those that came first stand: the same again are this request again, others are refused."""
    client_tools: str = ""
    """The tools that the client brings, as JSON (contracts.client_tools)."""
    context: str = ""
    """What the model shall know for this run alone; it is no message of the thread."""
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The answer to a NewMessage. `repeated` says that the key had been accepted before and nothing new was stored; `steered`
    that the message joins a run which goes on already; `queued` that its answer has not been begun."""

    message_id: str
    assistant_message_id: str
    run_id: str
    path: str
    repeated: bool = False
    steered: bool = False
    queued: bool = False
    command: bytes = field(default=b"", repr=False)
    """On the legacy path: the command that nobody has queued, for the caller."""


NOTHING_ACCEPTED: Final = Accepted(message_id="", assistant_message_id="", run_id="", path="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An idempotency key that was accepted before, with what was answered then: that a message was accepted, or the id of what
    was `made` (a thread, a schedule)."""

    thread_id: str
    body_hash: bytes
    accepted: Accepted = NOTHING_ACCEPTED
    made: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """All that is stored for an accepted message, in one transaction. `asked` is False where the question was stored before."""

    thread: Thread
    question: Message
    answer: Message
    run: Run
    outgoing: tuple[Outgoing, ...]
    remembered: Remembered | None
    history: tuple[Message, ...] = ()
    asked: bool = True

    @property
    def messages(self) -> tuple[Message, ...]:
        """The new messages."""
        return (*self.history, *((self.question,) if self.asked else ()), self.answer)

    @property
    def accepted(self) -> Accepted:
        """What the caller is told."""
        return Accepted(
            message_id=self.question.id,
            assistant_message_id=self.answer.id,
            run_id=self.run.id,
            path=self.run.path,
            queued=bool(self.run.held),
            command=execute_command(self.run).payload if self.run.path == LEGACY else b"",
        )


USED_BEFORE: Final = "This idempotency key was used for another request. Use a new key for a new request."


def check_repetition(message: NewMessage, remembered: Remembered) -> Accepted:
    """The answer given before, provided that this is the same request."""
    if remembered.thread_id != message.thread_id or remembered.body_hash != message.body_hash:
        raise RefusedError(
            Code.IDEMPOTENCY_MISMATCH,
            USED_BEFORE,
        )
    return replace(remembered.accepted, repeated=True)


def choose_model(wanted: str, thread: Thread, users_default: str, registry: Registry) -> str:
    """The request's model, else the thread's, else the user's, else the registry's. Refuses one that is not available."""
    chosen = wanted or thread.model or users_default or registry.default
    if registry.find(chosen) is None:
        raise unknown_model(chosen)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a run may take, and when somebody looks whether its command was lost."""

    run: timedelta
    first_check: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an acceptance begins with: the thread, the last of its runs, the user if seen before, and what the message's
    idempotency key was accepted for before."""

    thread: Thread
    last_run: Run | None
    user: User | None
    remembered: Remembered | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message and its answer belong. `question` is a stored message that is answered anew; `held` and `behind` say why
    the answer does not begin yet, `behind` also beside a run that goes on and is not waited for."""

    question: Message | None = None
    held: Held = ""
    behind: str = ""


AT_ONCE: Final = Place()


def plan_acceptance(
    message: NewMessage,
    thread: Thread,
    model: str,
    *,
    now: datetime,
    timing: Timing,
    new_id: Callable[[str], str],
    place: Place = AT_ONCE,
) -> Acceptance:
    """Work out what is stored and said. The message's parent is the one given, else the last of the history that comes with
    it, else none or the thread's last message."""
    history = _history(message, thread, now, new_id)
    run_id, question_id, answer_id = new_id(RUN), new_id(MESSAGE), new_id(MESSAGE)
    length = thread.length + len(history)
    parent = message.parent_message_id or ("" if message.from_root else thread.head)
    if history:
        parent = history[-1].id
    question = place.question or Message(
        id=question_id,
        thread_id=thread.id,
        user_id=message.user_id,
        position=length + 1,
        role="tool" if message.results else "user",
        status="complete",
        created_at=now,
        content=message.content,
        parts=message.results,
        run_id=run_id,
        parent_message_id=parent,
        service=message.service,
    )
    answer = Message(
        id=answer_id,
        thread_id=thread.id,
        user_id=message.user_id,
        position=length + (1 if place.question else 2),
        role="assistant",
        status="pending",
        created_at=now,
        model=model,
        run_id=run_id,
        parent_message_id=question.id,
    )
    start_at = message.run_at if place.held == "time" else None
    run = Run(
        id=run_id,
        thread_id=thread.id,
        user_id=message.user_id,
        question_id=question.id,
        message_id=answer_id,
        model=model,
        path=LEGACY if message.path == SHADOW else message.path,
        shadowed=message.path == SHADOW,
        status="pending",
        created_at=now,
        deadline_at=(start_at or now) + timing.run,
        check_at=(start_at or now) + timing.first_check,
        client=message.client,
        client_tools=message.client_tools,
        context=message.context,
        agent=message.agent or thread.agent,
        roles=message.roles,
        held=place.held,
        behind=place.behind if place.held == "queue" else "",
        start_at=start_at,
        floating=start_at is not None
        and not (place.question or message.parent_message_id or message.from_root or history),
        audience=audience(thread),
    )
    title = thread.title or title_from(_topic(message))
    changed = replace(
        thread,
        updated_at=now,
        title=title,
        length=answer.position,
        # A message for later stands beside the branch until its time has come.
        head=thread.head if start_at else answer_id,
        last_run=thread.last_run if start_at or (place.behind and not place.held) else run_id,
        branch_labels=labelled(thread, answer_id if place.question else question.id, message.branch_label),
    )
    # A legacy run lives with the request that asked for it: its command goes to the caller, and no worker may hear of it.
    outgoing = [] if run.path == LEGACY or run.held == "queue" else [execute_command(run)]
    outgoing.append(message_accepted(run, new_id(FACT)))
    if title != thread.title:
        outgoing.append(thread_updated(changed, {"title": title}, new_id(FACT), now))
    remembered = None
    if message.idempotency_key:
        accepted = Accepted(
            message_id=question.id,
            assistant_message_id=answer_id,
            run_id=run_id,
            path=run.path,
            queued=bool(run.held),
        )
        remembered = Remembered(thread_id=thread.id, body_hash=message.body_hash, accepted=accepted)
    return Acceptance(
        thread=changed,
        question=question,
        answer=answer,
        run=run,
        outgoing=tuple(outgoing),
        remembered=remembered,
        history=history,
        asked=place.question is None,
    )


def _topic(message: NewMessage) -> str:
    """What the user said last; results say nothing of their own."""
    if not message.results:
        return message.content
    return next((earlier.content for earlier in reversed(message.history) if earlier.role == "user"), "")


def labelled(thread: Thread, branch_id: str, label: str) -> Mapping[str, str]:
    """The thread's branch labels with one more, where there is one."""
    return {**thread.branch_labels, branch_id: label} if label else thread.branch_labels


def _history(message: NewMessage, thread: Thread, now: datetime, new_id: Callable[[str], str]) -> tuple[Message, ...]:
    """The messages that came along, as the beginning of a branch of their own."""
    stored: list[Message] = []
    for earlier in message.history:
        stored.append(
            Message(
                id=new_id(MESSAGE),
                thread_id=thread.id,
                user_id=message.user_id,
                position=thread.length + len(stored) + 1,
                role=earlier.role,
                status="complete",
                created_at=now,
                content=earlier.content,
                parts=earlier.parts,
                parent_message_id=stored[-1].id if stored else message.parent_message_id,
            )
        )
    return tuple(stored)


def execute_command(run: Run, *, shadow_of: str = "") -> Outgoing:
    """The command to execute a run, or a shadow of one, now; the timer for it while the run is held for its time. Each revival
    has a message id of its own, or the broker would drop it as a duplicate."""
    command = ExecuteRun(
        run_id=run.id,
        thread_id=run.thread_id,
        message_id=run.message_id,
        user_id=run.user_id,
        model=run.model,
        path=run.path,
        accepted_at=rfc3339(run.created_at),
        deadline_at=rfc3339(run.deadline_at),
        agent=run.agent,
        shadow_of=shadow_of,
    )
    suffix = f":{run.revivals}" if run.revivals else ""
    payload, message_id = msgspec.json.encode(command), f"{run.id}:execute{suffix}"
    if run.held == "time":
        timer, due = timer_subject("run", run.id), due_subject("run", run.id)
        return Outgoing(subject=timer, payload=payload, message_id=message_id, at=run.start_at, due=due)
    return Outgoing(subject=execute_subject(run.id), payload=payload, message_id=message_id)
