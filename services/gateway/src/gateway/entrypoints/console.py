"""The console: what administrators see of the whole mesh, and do to it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Literal

from contracts.codes import Code
from fastapi import APIRouter, Depends, Path, Query, Request

from gateway.console_ports import Console
from gateway.domain.console import TEST_TITLE, RunFilter
from gateway.domain.path_flag import share_of
from gateway.domain.problems import Refusal
from gateway.domain.records import SendOptions
from gateway.entrypoints.admin import Admin
from gateway.entrypoints.console_views import (
    AnsweredAgainView,
    AnyRunPage,
    DeadLetterList,
    DeadLetterView,
    OverviewView,
    RunCountsView,
    StoppedView,
    StopRuns,
    StreamList,
    TestEvent,
    TestEventView,
    WorkerList,
    WorkerView,
    run_view,
    stream_view,
)
from gateway.entrypoints.patience import patience
from gateway.entrypoints.routes import Behind, PageCursor, RunId
from gateway.entrypoints.timeline_view import TimelineView, timeline_view
from gateway.entrypoints.wiring import ANSWERING_PATH, Wiring, wiring_of
from gateway.handlers.answer_again import answer_again
from gateway.handlers.read_timeline import read_timeline
from gateway.handlers.see_overview import see_overview
from gateway.handlers.see_processes import see_processes
from gateway.handlers.see_streams import see_streams
from gateway.handlers.send_message import MessageToSend, check_message, send_message
from gateway.handlers.stop_runs import stop_runs

router = APIRouter(prefix="/v1/admin", tags=["console"])

Filter = Annotated[str, Query(max_length=200)]


def console_of(wiring: Annotated[Wiring, Depends(wiring_of)]) -> Console:
    """What these calls are built on."""
    if wiring.console is None:
        raise Refusal(Code.NOT_FOUND, "This gateway has no console.")
    return wiring.console


OfConsole = Annotated[Console, Depends(console_of)]


@router.get("/overview")
async def get_overview(_: Admin, console: OfConsole, wiring: Behind) -> OverviewView:
    """The mesh at a glance."""
    async with patience():
        seen = await see_overview(console)
    return OverviewView(
        runs=RunCountsView.model_validate(seen.runs, from_attributes=True),
        workers=seen.workers,
        gateways=seen.gateways,
        commands_waiting=seen.commands_waiting,
        outbox=seen.runs.outbox,
        dead_letters=seen.dead_letters,
        share=None if wiring.flags is None else share_of(wiring.flags.state.definition),
    )


@router.get("/runs")
async def list_all_runs(
    _: Admin,
    console: OfConsole,
    status: Annotated[
        Literal["", "pending", "generating", "waiting", "complete", "error", "cancelled"],
        Query(description="Only these."),
    ] = "",
    path: Filter = "",
    model: Filter = "",
    user: Annotated[str, Query(max_length=64, description="A user's id.")] = "",
    agent: Filter = "",
    since: Annotated[str, Query(max_length=40, description="Accepted since then, RFC 3339.")] = "",
    cursor: PageCursor = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Items per page.")] = 50,
) -> AnyRunPage:
    """The runs of all users."""
    which = RunFilter(status=status, path=path, model=model, user_id=user, agent=agent, since=since)
    runs, following = await console.operations.list_runs(which, cursor=cursor, limit=limit)
    return AnyRunPage(items=[run_view(run) for run in runs], next_cursor=following or None)


@router.get("/runs/{run_id}/timeline")
async def get_any_timeline(_: Admin, console: OfConsole, wiring: Behind, run_id: RunId) -> TimelineView:
    """Where anybody's answer spent its time."""
    return timeline_view(*await read_timeline(console.operations, wiring.log, wiring.viewers, "", run_id))


@router.post("/runs/stop")
async def post_stop(caller: Admin, console: OfConsole, wiring: Behind, body: StopRuns) -> StoppedView:
    """Stop runs of whomever, keep what was written."""
    stopped, refused = await stop_runs(
        console.operations, wiring.log, caller.user_id, body.run_ids, now=datetime.now(UTC)
    )
    return StoppedView(stopped=stopped, refused={run_id: code.value for run_id, code in refused.items()})


@router.post("/runs/again")
async def post_again(caller: Admin, console: OfConsole, wiring: Behind, body: StopRuns) -> AnsweredAgainView:
    """Have the questions of runs that failed or were stopped answered again, on branches of their own, as their authors'."""
    answered, refused = await answer_again(
        console.operations, wiring.conversation, wiring.models, caller.user_id, body.run_ids
    )
    return AnsweredAgainView(answered=dict(answered), refused={run_id: code.value for run_id, code in refused.items()})


@router.get("/workers")
async def list_workers(_: Admin, console: OfConsole) -> WorkerList:
    """Every process of the mesh, by its heartbeat."""
    async with patience():
        processes, warnings = await see_processes(console)
    return WorkerList(
        items=[WorkerView.model_validate(process, from_attributes=True) for process in processes], warnings=warnings
    )


@router.get("/streams")
async def list_streams(_: Admin, console: OfConsole) -> StreamList:
    """How full the streams are, and how far their consumers. Those of webhooks are under /v1/webhooks."""
    now = time.time()
    async with patience():
        return StreamList(items=[stream_view(seen, now) for seen in await see_streams(console.levels)])


@router.get("/dead-letters")
async def list_dead_letters(
    _: Admin, console: OfConsole, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> DeadLetterList:
    """Deliveries that could not be handled, until somebody decides."""
    letters = await console.operations.dead_letters(limit)
    return DeadLetterList(items=[DeadLetterView.model_validate(letter, from_attributes=True) for letter in letters])


@router.post("/dead-letters/{sequence}/retry", status_code=204)
async def post_dead_letter(
    _: Admin, console: OfConsole, sequence: Annotated[int, Path(ge=1, le=2**53, description="Its `sequence`.")]
) -> None:
    """Publish one again where it came from, for all who hear that, and take it away."""
    await console.operations.retry_dead_letter(sequence)


@router.post("/test-event", status_code=202)
async def post_test_event(caller: Admin, wiring: Behind, body: TestEvent, request: Request) -> TestEventView:
    """Run a message through a new, temporary thread of the administrator's own, another one each time."""
    wait = wiring.messages.take(caller.user_id, asyncio.get_running_loop().time())
    if wait:
        raise Refusal(Code.LIMIT_REACHED, "Too many messages at once; wait a moment.", retry_after=wait)
    message = MessageToSend(content=body.text, options=SendOptions(roles=(caller.role,)))
    check_message(message, wiring.models)
    thread = await wiring.conversation.create_thread(
        caller.user_id, title=TEST_TITLE, model="", tags=(), kind="temporary"
    )
    path = await wiring.choose_path(caller, thread_id=thread.id, model="", asked="")
    accepted = await send_message(wiring.conversation, wiring.models, caller.user_id, thread.id, message, path=path)
    request.scope[ANSWERING_PATH] = accepted.path
    return TestEventView(thread_id=thread.id, run_id=accepted.run_id)
