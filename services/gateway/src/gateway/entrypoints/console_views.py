"""The console's answers as clients get them."""

from typing import Annotated

from contracts.processes import Kind
from pydantic import BaseModel, Field, StringConstraints

from gateway.domain.console import ListedRun
from gateway.entrypoints.views import Body
from gateway.handlers.see_streams import SeenStream


class RunCountsView(BaseModel):
    """Open runs of all users; and of those that were accepted in the last two hours, the ones that ended in the last one."""

    pending: int
    generating: int
    waiting: int
    ended_last_hour: int
    failed_last_hour: int


class OverviewView(BaseModel):
    """The mesh at a glance. `workers` and `gateways` were heard within seconds; `commands_waiting` were given to no worker yet;
    `share` is the percentage on the durable path, null where no percentage decides."""

    runs: RunCountsView
    workers: int
    gateways: int
    commands_waiting: int
    outbox: int | None
    dead_letters: int
    share: int | None


class AnyRunView(BaseModel):
    """A run of whomever, without what its messages say."""

    id: str
    thread_id: str
    user_id: str
    status: str
    path: str
    model: str
    agent: str
    created_at: str
    ended_at: str | None
    attempts: int
    cost_microusd: int | None
    error_code: str | None


class AnyRunPage(BaseModel):
    """Newest first. A page may hold fewer than asked for, even none; there are more as long as there is a `next_cursor`."""

    items: list[AnyRunView]
    next_cursor: str | None


class StopRuns(Body):
    """Which runs to stop."""

    run_ids: Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(min_length=1, max_length=100)]


class StoppedView(BaseModel):
    """The end of `stopped` is durably asked for. `refused` says by id why not: `run_finished`, `run_not_found`, `unavailable`."""

    stopped: list[str]
    refused: dict[str, str]


class AnsweredAgainView(BaseModel):
    """`answered` has the new run by the id of the one before. `refused` says by id why not: `run_finished` (it has its answer),
    `thread_busy` (it goes on), `run_not_found`, `unavailable`, or why a message is refused."""

    answered: dict[str, str]
    refused: dict[str, str]


class WorkerView(BaseModel):
    """A process that was heard within seconds. `slots` is how many runs it executes at once, null for what executes none."""

    name: str
    kind: Kind
    version: str
    started_at: str
    seen_at: str
    slots: int | None
    slots_in_use: int | None


class WorkerList(BaseModel):
    """All processes, and a sentence for each kind of which none is heard."""

    items: list[WorkerView]
    warnings: list[str]


class ConsumerView(BaseModel):
    """`pending` were never delivered, `ack_pending` are in hand. `lag_seconds` is the age of the oldest pending one."""

    name: str
    pending: int
    ack_pending: int
    redelivered: int
    lag_seconds: float


class StreamView(BaseModel):
    """A stream. `limit_bytes` is null where there is none."""

    name: str
    messages: int
    bytes: int
    limit_bytes: int | None
    why: str
    consumers: list[ConsumerView]


class StreamList(BaseModel):
    """All streams."""

    items: list[StreamView]


class DeadLetterView(BaseModel):
    """A delivery that could not be handled, where it came from, and why."""

    sequence: int
    consumer: str
    stream: str
    subject: str
    reason: str
    delivered: int
    at: str


class DeadLetterList(BaseModel):
    """Newest first."""

    items: list[DeadLetterView]


class TestEvent(Body):
    """What to ask."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]


class TestEventView(BaseModel):
    """It is accepted; the run is the administrator's own."""

    thread_id: str
    run_id: str


def run_view(run: ListedRun) -> AnyRunView:
    """As clients get it."""
    return AnyRunView(
        id=run.id,
        thread_id=run.thread_id,
        user_id=run.user_id,
        status=run.status,
        path=run.path,
        model=run.model,
        agent=run.agent,
        created_at=run.created_at,
        ended_at=run.ended_at or None,
        attempts=run.attempts,
        cost_microusd=run.cost_microusd,
        error_code=run.error_code or None,
    )


def stream_view(seen: SeenStream, now: float) -> StreamView:
    """As clients get it. `now` is in seconds since 1970."""
    return StreamView(
        name=seen.stream.name,
        messages=seen.level.messages,
        bytes=seen.level.bytes,
        limit_bytes=seen.stream.max_bytes if seen.stream.max_bytes > 0 else None,
        why=seen.stream.why,
        consumers=[
            ConsumerView(
                name=consumer.name,
                pending=level.pending,
                ack_pending=level.ack_pending,
                redelivered=level.redelivered,
                lag_seconds=0.0 if level.oldest_at is None else max(0.0, round(now - level.oldest_at, 3)),
            )
            for consumer, level in seen.consumers
        ],
    )
