"""The native door's calls. Each decodes, calls a handler or conversation, and shows the result."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from bus.errors import UnavailableError
from contracts.codes import Code
from contracts.cursor import START
from contracts.ids import RUN, THREAD, InvalidIdError, check_id
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from gateway.domain.agents import check_agent
from gateway.domain.identity import Principal
from gateway.domain.patience import LOOK_SECONDS
from gateway.domain.problems import Refusal
from gateway.domain.records import SendOptions, ThreadChange
from gateway.entrypoints import views
from gateway.entrypoints.keys import Key
from gateway.entrypoints.timeline_view import TimelineView, timeline_view
from gateway.entrypoints.wiring import ANSWERING_PATH, Wiring, principal_of, wiring_of
from gateway.handlers.cancel_run import cancel_run
from gateway.handlers.fold_run import run_state
from gateway.handlers.read_log import read_log
from gateway.handlers.read_messages import read_messages
from gateway.handlers.read_run import read_run
from gateway.handlers.read_timeline import read_timeline
from gateway.handlers.send_message import MessageToSend, check_model, send_message
from gateway.handlers.verify_run import verify_run

router = APIRouter(prefix="/v1")

Caller = Annotated[Principal, Depends(principal_of)]
Behind = Annotated[Wiring, Depends(wiring_of)]
Limit = Annotated[int, Query(ge=1, le=200, description="Items per page.")]
PageCursor = Annotated[str, Query(max_length=500, description="`next_cursor` of the page before.")]


def thread_id_of(thread_id: Annotated[str, Path()]) -> str:
    """The thread's id out of the path; what cannot be an id names no thread."""
    return _id(THREAD, thread_id, Code.THREAD_NOT_FOUND, "There is no such thread.")


def run_id_of(run_id: Annotated[str, Path()]) -> str:
    """The run's id out of the path; what cannot be an id names no run."""
    return _id(RUN, run_id, Code.RUN_NOT_FOUND, "There is no such run.")


def _id(prefix: str, text: str, code: Code, sentence: str) -> str:
    try:
        return check_id(prefix, text)
    except InvalidIdError as error:
        raise Refusal(code, sentence) from error


async def _unread(wiring: Wiring, caller: Principal) -> Mapping[str, int] | None:
    """By thread; None where the broker does not tell: threads can be listed without it."""
    if wiring.notices is None:
        return views.NOTHING_UNREAD
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return (await wiring.notices.feeds.unread(caller.user_id)).counts
    except (UnavailableError, TimeoutError):
        return None


ThreadId = Annotated[str, Depends(thread_id_of)]
RunId = Annotated[str, Depends(run_id_of)]


@router.post("/threads", status_code=201, tags=["threads"])
async def create_thread(
    caller: Caller, wiring: Behind, key: Key, body: views.CreateThread | None = None
) -> views.ThreadView:
    """Create a thread. A key is kept for a day, or until its thread is deleted."""
    wanted = body or views.CreateThread()
    check_model(wanted.model, wiring.models)
    await check_agent(wiring.agents, wanted.agent)
    thread = await wiring.conversation.create_thread(
        caller.user_id,
        title=wanted.title,
        model=wanted.model,
        tags=wanted.tags,
        kind=wanted.kind,
        agent=wanted.agent,
        on_busy=wanted.on_busy,
        idempotency_key=key,
    )
    return views.thread_view(thread)


@router.get("/threads", tags=["threads"])
async def list_threads(
    caller: Caller, wiring: Behind, archived: bool | None = None, cursor: PageCursor = "", limit: Limit = 50
) -> views.ThreadPage:
    """List the caller's threads, newest first."""
    page = await wiring.conversation.list_threads(caller.user_id, archived=archived, cursor=cursor, limit=limit)
    unread = await _unread(wiring, caller)
    items = [views.thread_view(thread, unread=unread) for thread in page.threads]
    return views.ThreadPage(items=items, next_cursor=page.next_cursor or None)


@router.get("/threads/{thread_id}", tags=["threads"])
async def get_thread(caller: Caller, wiring: Behind, thread_id: ThreadId) -> views.ThreadView:
    """One thread."""
    thread = await wiring.conversation.get_thread(caller.user_id, thread_id)
    return views.thread_view(thread, unread=await _unread(wiring, caller))


@router.patch("/threads/{thread_id}", tags=["threads"])
async def change_thread(
    caller: Caller, wiring: Behind, thread_id: ThreadId, body: views.ChangeThread
) -> views.ThreadView:
    """Rename, archive, pin, star, tag, or choose another model."""
    check_model(body.model or "", wiring.models)
    await check_agent(wiring.agents, body.agent or "")
    change = ThreadChange(
        title=body.title,
        model=body.model,
        archived=body.archived,
        pinned=body.pinned,
        starred=body.starred,
        tags=None if body.tags is None else tuple(body.tags),
        agent=body.agent,
        on_busy=body.on_busy,
        branch=body.branch,
    )
    thread = await wiring.conversation.update_thread(caller.user_id, thread_id, change)
    return views.thread_view(thread, unread=await _unread(wiring, caller))


@router.delete("/threads/{thread_id}", status_code=204, tags=["threads"])
async def delete_thread(caller: Caller, wiring: Behind, thread_id: ThreadId) -> None:
    """Delete a thread with all its messages."""
    await wiring.conversation.delete_thread(caller.user_id, thread_id)


@router.post("/threads/{thread_id}/messages", status_code=202, tags=["messages"])
async def post_message(
    caller: Caller,
    wiring: Behind,
    thread_id: ThreadId,
    body: views.SendMessage,
    request: Request,
    key: Key,
    x_everthread_path: Annotated[
        str, Header(description="legacy_sync or durable_event: an order from administrators, a wish from others.")
    ] = "",
) -> views.AcceptedView:
    """Send a message. Accepted is finished: its answer reaches exactly one end, whatever dies on the way."""
    wait = wiring.messages.take(caller.user_id, asyncio.get_running_loop().time())
    if wait:
        raise Refusal(Code.LIMIT_REACHED, "Too many messages at once; wait a moment.", retry_after=wait)
    await check_agent(wiring.agents, body.agent)
    message = MessageToSend(
        content=body.content,
        model=body.model,
        parent_message_id=body.parent_message_id,
        idempotency_key=key,
        options=SendOptions(
            agent=body.agent,
            on_busy=body.on_busy,
            run_at=body.run_at,
            branch_label=body.branch_label,
            roles=(caller.role,),
        ),
    )
    path = await wiring.choose_path(caller, thread_id=thread_id, model=body.model, asked=x_everthread_path)
    accepted = await send_message(wiring.conversation, wiring.models, caller.user_id, thread_id, message, path=path)
    request.scope[ANSWERING_PATH] = accepted.path
    return views.accepted_view(accepted, str(START))


@router.get("/threads/{thread_id}/messages", tags=["messages"])
async def list_messages(
    caller: Caller,
    wiring: Behind,
    thread_id: ThreadId,
    cursor: PageCursor = "",
    limit: Limit = 100,
    branch: Annotated[str, Query(max_length=64, description="A message of the branch, or `active`; else all.")] = "",
    from_end: Annotated[bool, Query(description="The last page, where there is no cursor.")] = False,
) -> views.MessagePage:
    """The stored view, oldest first; a running answer shows its text so far."""
    page = await read_messages(
        wiring.conversation,
        wiring.log,
        caller.user_id,
        thread_id,
        cursor=cursor,
        limit=limit,
        branch=branch,
        from_end=from_end,
    )
    return views.MessagePage(
        items=[views.message_view(message) for message in page.messages], next_cursor=page.next_cursor or None
    )


@router.get("/runs/{run_id}", tags=["runs"])
async def get_run(caller: Caller, wiring: Behind, run_id: RunId) -> views.RunView:
    """A run's status; while it runs, the log's, or what was last stored while the broker is away (`as_stored`)."""
    found = await read_run(wiring.conversation, wiring.log, caller.user_id, run_id)
    return views.run_view(found.run, found.state, as_stored=found.as_stored)


@router.get("/runs/{run_id}/state", tags=["runs"], response_class=Response)
async def get_run_state(caller: Caller, wiring: Behind, run_id: RunId) -> Response:
    """The fold of the run's log: the state every viewer has at its end."""
    run, message = await wiring.conversation.get_run(caller.user_id, run_id)
    state = await run_state(wiring.log, run, message)
    return Response(msgspec.json.encode(state), media_type="application/json")


@router.get("/runs/{run_id}/log", tags=["runs"], response_class=Response)
async def get_run_log(
    caller: Caller,
    wiring: Behind,
    run_id: RunId,
    cursor: PageCursor = "",
    limit: Annotated[int, Query(ge=1, le=5000, description="Events per page.")] = 1000,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """The run's events: a JSON page, or one event per line with `Accept: application/x-ndjson` (next in `x-next-cursor`)."""
    page = await read_log(wiring.conversation, wiring.log, caller.user_id, run_id, cursor=cursor, limit=limit)
    if "application/x-ndjson" in accept:
        headers = {"x-next-cursor": page.next_cursor} if page.next_cursor else {}
        lines = b"".join(event + b"\n" for event in page.events)
        return Response(lines, media_type="application/x-ndjson", headers=headers)
    items = [msgspec.Raw(event) for event in page.events]
    body = msgspec.json.encode({"items": items, "next_cursor": page.next_cursor or None})
    return Response(body, media_type="application/json")


@router.get("/runs/{run_id}/verify", tags=["runs"])
async def get_run_verification(caller: Caller, wiring: Behind, run_id: RunId) -> views.VerificationView:
    """Whether the fold of the log equals the stored message."""
    found = await verify_run(wiring.conversation, wiring.log, caller.user_id, run_id)
    return views.VerificationView(
        run_id=found.run_id,
        equal=found.equal,
        differences=list(found.differences),
        reason=found.reason or None,
        sequence=found.sequence,
    )


@router.get("/runs/{run_id}/timeline", tags=["runs"])
async def get_run_timeline(caller: Caller, wiring: Behind, run_id: RunId) -> TimelineView:
    """When the run was accepted, published, claimed, had its first text and ended, with its attempts and steps."""
    return timeline_view(*await read_timeline(wiring.conversation, wiring.log, wiring.viewers, caller.user_id, run_id))


@router.post("/runs/{run_id}/cancel", status_code=202, tags=["runs"])
async def post_cancel(caller: Caller, wiring: Behind, run_id: RunId) -> views.CancellingView:
    """Stop a run, keep what was written."""
    await cancel_run(wiring.conversation, wiring.log, caller.user_id, run_id, now=datetime.now(UTC))
    return views.CancellingView(run_id=run_id, status="cancelling")


@router.get("/me", tags=["me"])
async def get_me(caller: Caller, wiring: Behind) -> views.MeView:
    """The caller."""
    user = await wiring.conversation.get_user(caller.user_id)
    preferences = views.PreferencesView.model_validate(user.preferences, from_attributes=True)
    return views.MeView(id=user.id, role=caller.role, preferences=preferences, created_at=user.created_at)


@router.get("/me/preferences", tags=["me"])
async def get_preferences(caller: Caller, wiring: Behind) -> views.PreferencesView:
    """The caller's preferences."""
    user = await wiring.conversation.get_user(caller.user_id)
    return views.PreferencesView.model_validate(user.preferences, from_attributes=True)


@router.patch("/me/preferences", tags=["me"])
async def change_preferences(caller: Caller, wiring: Behind, body: views.ChangePreferences) -> views.PreferencesView:
    """Change the caller's preferences."""
    check_model(body.default_model or "", wiring.models)
    changed = await wiring.conversation.update_preferences(
        caller.user_id, system_prompt=body.system_prompt, default_model=body.default_model, path=body.path
    )
    if wiring.wishes is not None:
        wiring.wishes.remember(caller.user_id, changed.path)
    return views.PreferencesView.model_validate(changed, from_attributes=True)


@router.get("/models", tags=["models"])
async def list_models(_: Caller, wiring: Behind) -> views.ModelList:
    """The model registry."""
    return views.model_list(wiring.models)
