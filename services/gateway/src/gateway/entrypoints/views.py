"""What the native door takes and gives, as pydantic models: validation on the way in, OpenAPI on the way out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from contracts.registry import Model, Registry
from contracts.run_state import RunState, Waiting
from contracts.usage import Usage
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from gateway.domain.records import ENDED, Accepted, Message, Run, Thread

Title = Annotated[str, StringConstraints(max_length=200)]
ModelId = Annotated[str, StringConstraints(max_length=100)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=50)]
Tags = Annotated[list[Tag], Field(max_length=50)]


OnBusy = Annotated[
    Literal["", "reject", "enqueue", "interrupt", "steer"],
    Field(description="What a message does while another answer of the thread goes on; empty: what the thread says."),
]
AgentName = Annotated[str, StringConstraints(max_length=64)]
Label = Annotated[str, StringConstraints(max_length=100)]
AsStored = Annotated[
    bool,
    Field(description="The broker did not answer: this is what the database has, and by now there may be more to say."),
]

NOTHING_UNREAD: Final[Mapping[str, int]] = MappingProxyType({})


class Body(BaseModel):
    """A request body: what is not known is refused, since it is most likely a slip."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def check_unicode(cls, value: Any) -> Any:
        """JSON can write half a surrogate pair, which no UTF-8 can: it could be neither stored nor sent on."""
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError("the text has half a surrogate pair, which is no character")
        return value


class CreateThread(Body):
    """A new thread. An empty model means the user's default."""

    title: Title = ""
    model: ModelId = ""
    tags: Tags = []
    kind: Literal["normal", "temporary"] = "normal"
    agent: AgentName = ""
    on_busy: OnBusy = ""


class ChangeThread(Body):
    """What to change; what is left out stays."""

    title: Title | None = None
    model: ModelId | None = None
    archived: bool | None = None
    pinned: bool | None = None
    starred: bool | None = None
    tags: Tags | None = None
    agent: AgentName | None = None
    on_busy: OnBusy | None = None
    branch: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="A message of the branch that goes on from now on."
    )


class SendMessage(Body):
    """A message to answer. Without a model: the thread's, else the user's default, else this installation's."""

    content: str
    model: ModelId = ""
    parent_message_id: Annotated[str, StringConstraints(max_length=64)] = ""
    agent: AgentName = ""
    on_busy: OnBusy = ""
    run_at: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="RFC 3339 with its offset: answered then and not now."
    )
    branch_label: Label = ""


class ChangePreferences(Body):
    """What to change; what is left out stays, an empty text clears it."""

    system_prompt: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    default_model: ModelId | None = None
    path: Literal["", "legacy_sync", "durable_event"] | None = Field(
        default=None, description="The path that the user would like, where the rollout allows it."
    )


class ThreadView(BaseModel):
    """A thread. `role` is what the caller may do in it, `members` how many people there are, the owner included."""

    id: str
    title: str
    model: str
    agent: str
    on_busy: str
    branch: str
    archived: bool
    pinned: bool
    starred: bool
    tags: list[str]
    created_at: str
    updated_at: str
    role: str
    owner_id: str
    members: int
    kind: str
    unread: int = Field(
        default=0,
        description="Feed entries of this thread that the caller has not read; see GET /v1/me/unread. 0 with `as_stored`.",
    )
    as_stored: AsStored = False


class UsageView(BaseModel):
    """Token counts. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    estimated: bool


class ErrorView(BaseModel):
    """Why an answer failed."""

    code: str
    message: str


class MessageView(BaseModel):
    """A message as it is stored; a running answer shows its text so far, with `as_stored` that of its last checkpoint."""

    id: str
    thread_id: str
    role: str
    status: str
    content: str
    parts: list[dict[str, Any]]
    model: str
    usage: UsageView | None
    cost_microusd: int | None
    run_id: str | None
    parent_message_id: str | None
    error: ErrorView | None
    created_at: str
    author: str | None
    cancelled_by: str | None
    as_stored: AsStored = False


class ThreadPage(BaseModel):
    """One page, newest first. `next_cursor` is null on the last one."""

    items: list[ThreadView]
    next_cursor: str | None


class MessagePage(BaseModel):
    """One page, oldest first. `next_cursor` is null on the last one."""

    items: list[MessageView]
    next_cursor: str | None


class AcceptedView(BaseModel):
    """The message is stored and its answer will finish. Watch from `cursor`. `steered`: it joins a run that goes on already;
    `queued`: its answer begins later, after those before it or at its time."""

    message_id: str
    assistant_message_id: str
    run_id: str
    path: str
    cursor: str
    steered: bool
    queued: bool


class WaitingView(BaseModel):
    """What a run waits for. `reason` is timer, input (POST …/input, any JSON that fits `schema`) or approval (POST …/approve)."""

    reason: str
    wait_id: str
    prompt: str
    input_schema: Any
    expires_at: str | None
    tool_call_id: str | None


class RunView(BaseModel):
    """A run. While it runs, status and sequence are the log's; with `as_stored` they are the last checkpoint's, and whether it
    waits is not known."""

    id: str
    thread_id: str
    message_id: str
    model: str
    path: str
    status: str
    attempts: int
    sequence: int
    usage: UsageView | None
    cost_microusd: int | None
    error: ErrorView | None
    created_at: str
    ended_at: str | None
    author: str | None
    cancelled_by: str | None
    agent: str
    run_at: str | None
    waiting: WaitingView | None
    as_stored: AsStored = False


class CancellingView(BaseModel):
    """The stop is durable; the run ends with `run.cancelled` unless it finished first."""

    run_id: str
    status: Literal["cancelling"]


class VerificationView(BaseModel):
    """Whether the fold of the log equals the stored message; null where there is nothing to compare (`reason`)."""

    run_id: str
    equal: bool | None
    differences: list[str]
    reason: str | None
    sequence: int


class PreferencesView(BaseModel):
    """What the user wants in every thread."""

    system_prompt: str
    default_model: str
    path: str


class MeView(BaseModel):
    """The caller."""

    id: str
    role: str
    preferences: PreferencesView
    created_at: str


class ModelView(BaseModel):
    """One model. Prices in USD per million tokens, null where unknown."""

    id: str
    provider: str
    context_window: int
    prices: dict[str, float | None]
    available: bool
    default: bool


class ModelList(BaseModel):
    """The model registry."""

    items: list[ModelView]
    default: str


def thread_view(thread: Thread, *, unread: Mapping[str, int] | None = NOTHING_UNREAD) -> ThreadView:
    """As clients get it; `unread` is by thread, None where it is not known."""
    marks = {"as_stored": True} if unread is None else {"unread": unread.get(thread.id, 0)}
    return ThreadView.model_validate(thread, from_attributes=True).model_copy(update=marks)


def message_view(message: Message) -> MessageView:
    """As clients get it."""
    parts = msgspec.json.decode(message.parts_json, type=list[dict[str, Any]]) if message.parts_json else []
    if not parts and message.content:
        parts = [{"type": "text", "text": message.content}]
    return MessageView(
        id=message.id,
        thread_id=message.thread_id,
        role=message.role,
        status=message.status,
        content=message.content,
        parts=parts,
        model=message.model,
        usage=usage_view(message.usage),
        cost_microusd=message.cost_microusd,
        run_id=message.run_id or None,
        parent_message_id=message.parent_message_id or None,
        error=_error(message.error_code, message.error_message),
        created_at=message.created_at,
        author=message.author or None,
        cancelled_by=message.cancelled_by or None,
        as_stored=message.as_stored,
    )


def run_view(run: Run, state: RunState | None, *, as_stored: bool = False) -> RunView:
    """As clients get it; `state` is the fold of the log, where there is one, `as_stored` that it could not be asked."""
    live = state if state is not None and run.status not in ENDED else None
    return RunView(
        id=run.id,
        thread_id=run.thread_id,
        message_id=run.message_id,
        model=run.model,
        path=run.path,
        status=live.status if live else run.status,
        attempts=max(run.attempts, live.attempt if live else 0),
        sequence=live.sequence if live else run.final_sequence,
        usage=usage_view(live.usage if live else run.usage),
        cost_microusd=live.cost_microusd if live else run.cost_microusd,
        error=_error(live.error_code, live.error_message) if live else _error(run.error_code, run.error_message),
        created_at=run.created_at,
        ended_at=(live.ended_at if live else run.ended_at) or None,
        author=run.author or None,
        cancelled_by=(live.cancelled_by if live else run.cancelled_by) or None,
        agent=run.agent,
        run_at=run.run_at or None,
        waiting=_waiting(live.waiting) if live and live.waiting else None,
        as_stored=as_stored,
    )


def accepted_view(accepted: Accepted, cursor: str) -> AcceptedView:
    """As clients get it."""
    return AcceptedView(
        message_id=accepted.message_id,
        assistant_message_id=accepted.assistant_message_id,
        run_id=accepted.run_id,
        path=accepted.path,
        cursor=cursor,
        steered=accepted.steered,
        queued=accepted.queued,
    )


def _waiting(waiting: Waiting) -> WaitingView:
    return WaitingView(
        reason=waiting.reason,
        wait_id=waiting.wait_id,
        prompt=waiting.prompt,
        input_schema=waiting.schema,
        expires_at=waiting.expires_at,
        tool_call_id=waiting.tool_call_id or None,
    )


def usage_view(usage: Usage | None) -> UsageView | None:
    """As clients get it."""
    return None if usage is None else UsageView.model_validate(usage, from_attributes=True)


def model_list(models: Registry) -> ModelList:
    """As clients get it."""
    return ModelList(items=[_model(model, models.default) for model in models.models.values()], default=models.default)


def _model(model: Model, default: str) -> ModelView:
    def price(value: object) -> float | None:
        return None if value is None else float(str(value))

    return ModelView(
        id=model.id,
        provider=model.provider.name,
        context_window=model.context_window,
        prices={
            "input": price(model.input),
            "cached_input": price(model.input if model.cached_input is None else model.cached_input),
            "output": price(model.output),
        },
        available=model.available,
        default=model.id == default,
    )


def _error(code: str | None, message: str | None) -> ErrorView | None:
    return ErrorView(code=code, message=message or "") if code else None
