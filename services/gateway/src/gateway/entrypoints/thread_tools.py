"""Branches, forks and schedules of a thread."""

import asyncio
from typing import Annotated

from contracts.codes import Code
from contracts.cursor import START
from contracts.ids import MESSAGE, InvalidIdError, check_id
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, StringConstraints

from gateway.domain.problems import Refusal
from gateway.domain.records import Branch, Schedule, ScheduleChange, SendOptions
from gateway.entrypoints import views
from gateway.entrypoints.keys import Key
from gateway.entrypoints.routes import Behind, Caller, ThreadId
from gateway.entrypoints.wiring import ANSWERING_PATH, Wiring, wiring_of
from gateway.handlers.change_flag import expected_revision
from gateway.handlers.send_message import MessageToSend, check_model, send_message
from gateway.thread_ports import ThreadTools as Tools

router = APIRouter(prefix="/v1")


def tools_of(request: Request) -> Tools:
    """What is behind these routes; a gateway without it has none of them."""
    tools = wiring_of(request).tools
    if tools is None:
        raise Refusal(Code.NOT_FOUND, "This gateway has no such thing.")
    return tools


def message_id_of(message_id: Annotated[str, Path()]) -> str:
    """The message's id out of the path; what cannot be an id names no message."""
    try:
        return check_id(MESSAGE, message_id)
    except InvalidIdError as error:
        raise Refusal(Code.MESSAGE_NOT_FOUND, "There is no such message in this thread.") from error


Using = Annotated[Tools, Depends(tools_of)]
MessageId = Annotated[str, Depends(message_id_of)]
ScheduleId = Annotated[str, Path(max_length=64)]


class Regenerate(views.Body):
    """How the new answer is made; what is left out is as for a message."""

    model: views.ModelId = ""
    agent: views.AgentName = ""
    on_busy: views.OnBusy = ""
    branch_label: views.Label = ""


class EditMessage(views.Body):
    """What the message should have said."""

    content: str
    model: views.ModelId = ""
    agent: views.AgentName = ""
    on_busy: views.OnBusy = ""
    branch_label: views.Label = ""


class ForkThread(views.Body):
    """The last message that the new thread has. Without a title: the thread's."""

    message_id: Annotated[str, StringConstraints(max_length=64)]
    title: views.Title = ""


class LabelBranch(views.Body):
    """What people call the branch; an empty text takes the name away."""

    label: views.Label


class CreateSchedule(views.Body):
    """A message to send again and again. `cron`: minute, hour, day of the month, month, day of the week, in `time_zone`."""

    cron: Annotated[str, StringConstraints(max_length=100)]
    content: str
    time_zone: Annotated[str, StringConstraints(max_length=64)] = "UTC"
    model: views.ModelId = ""
    agent: views.AgentName = ""
    on_busy: views.OnBusy = ""


class ChangeSchedule(views.Body):
    """What is changed; what is left out stays. Paused it sends nothing, and what it missed is not made up for."""

    cron: Annotated[str, StringConstraints(max_length=100)] | None = None
    content: str | None = None
    time_zone: Annotated[str, StringConstraints(max_length=64)] | None = None
    model: views.ModelId | None = None
    agent: views.AgentName | None = None
    on_busy: views.OnBusy | None = None
    paused: bool | None = None


class BranchView(BaseModel):
    """A branch. `parent_message_id` is where it departs from an older one, `length` counts from the thread's beginning."""

    id: str
    label: str
    parent_message_id: str | None
    head: str
    length: int
    active: bool
    created_at: str


class BranchList(BaseModel):
    """Oldest first."""

    items: list[BranchView]


class ScheduleView(BaseModel):
    """A schedule. `last_refusal` says why the message was not accepted the last time; `user_id` is in whose name it is sent.
    `revision` counts what people change, and is the ETag."""

    id: str
    thread_id: str
    cron: str
    time_zone: str
    content: str
    model: str
    agent: str
    on_busy: str
    created_at: str
    next_at: str | None
    last_run_id: str | None
    last_refusal: str | None
    user_id: str
    revision: int
    paused: bool


class ScheduleList(BaseModel):
    """Oldest first."""

    items: list[ScheduleView]


@router.post("/threads/{thread_id}/messages/{message_id}/regenerate", status_code=202, tags=["messages"])
async def post_regenerate(
    caller: Caller,
    wiring: Behind,
    thread_id: ThreadId,
    message_id: MessageId,
    request: Request,
    key: Key,
    body: Regenerate | None = None,
) -> views.AcceptedView:
    """Have a message, or the question of an answer, answered anew, on a branch of its own."""
    wanted = body or Regenerate()
    options = SendOptions(
        agent=wanted.agent,
        on_busy=wanted.on_busy,
        branch_label=wanted.branch_label,
        answers_message_id=message_id,
        roles=(caller.role,),
    )
    message = MessageToSend(content="", model=wanted.model, idempotency_key=key, options=options)
    return await _send(wiring, caller, thread_id, message, request)


@router.post("/threads/{thread_id}/messages/{message_id}/edit", status_code=202, tags=["messages"])
async def post_edit(
    caller: Caller,
    wiring: Behind,
    thread_id: ThreadId,
    message_id: MessageId,
    body: EditMessage,
    request: Request,
    key: Key,
) -> views.AcceptedView:
    """Say something else in the place of a message, on a branch of its own; the old one stays."""
    options = SendOptions(
        agent=body.agent,
        on_busy=body.on_busy,
        branch_label=body.branch_label,
        replaces_message_id=message_id,
        roles=(caller.role,),
    )
    message = MessageToSend(content=body.content, model=body.model, idempotency_key=key, options=options)
    return await _send(wiring, caller, thread_id, message, request)


@router.get("/threads/{thread_id}/branches", tags=["threads"])
async def list_branches(caller: Caller, tools: Using, thread_id: ThreadId) -> BranchList:
    """The branches of a thread. `PATCH /v1/threads/{thread_id}` with `branch` switches."""
    return BranchList(items=[_branch_view(branch) for branch in await tools.list_branches(caller.user_id, thread_id)])


@router.patch("/threads/{thread_id}/branches/{message_id}", tags=["threads"])
async def label_branch(
    caller: Caller, tools: Using, thread_id: ThreadId, message_id: MessageId, body: LabelBranch
) -> BranchView:
    """Name a branch, by any message of it."""
    return _branch_view(await tools.label_branch(caller.user_id, thread_id, message_id, body.label))


@router.post("/threads/{thread_id}/fork", status_code=201, tags=["threads"])
async def post_fork(caller: Caller, tools: Using, thread_id: ThreadId, key: Key, body: ForkThread) -> views.ThreadView:
    """A new thread of the caller's with copies of the messages up to one of them."""
    message_id = message_id_of(body.message_id)
    fork = await tools.fork_thread(caller.user_id, thread_id, message_id, body.title, idempotency_key=key)
    return views.thread_view(fork)


@router.post("/threads/{thread_id}/schedules", status_code=201, tags=["schedules"])
async def create_schedule(
    caller: Caller,
    wiring: Behind,
    tools: Using,
    thread_id: ThreadId,
    key: Key,
    body: CreateSchedule,
    response: Response,
) -> ScheduleView:
    """Send a message again and again, each time once."""
    check_model(body.model, wiring.models)
    wanted = Schedule(
        id="",
        thread_id=thread_id,
        cron=body.cron,
        time_zone=body.time_zone,
        content=body.content,
        model=body.model,
        agent=body.agent,
        on_busy=body.on_busy,
        created_at="",
        next_at="",
        last_run_id="",
        last_refusal="",
    )
    made = await tools.create_schedule(caller.user_id, wanted, (caller.role,), idempotency_key=key)
    return _tagged(made, response)


@router.get("/threads/{thread_id}/schedules", tags=["schedules"])
async def list_schedules(caller: Caller, tools: Using, thread_id: ThreadId) -> ScheduleList:
    """The schedules of a thread."""
    found = await tools.list_schedules(caller.user_id, thread_id)
    return ScheduleList(items=[_schedule_view(schedule) for schedule in found])


@router.get("/threads/{thread_id}/schedules/{schedule_id}", tags=["schedules"])
async def get_schedule(
    caller: Caller, tools: Using, thread_id: ThreadId, schedule_id: ScheduleId, response: Response
) -> ScheduleView:
    """One schedule; its ETag says which revision a change is of."""
    # A thread has few.
    found = await tools.list_schedules(caller.user_id, thread_id)
    schedule = next((schedule for schedule in found if schedule.id == schedule_id), None)
    if schedule is None:
        raise Refusal(Code.SCHEDULE_NOT_FOUND, "There is no such schedule in this thread.")
    return _tagged(schedule, response)


@router.patch("/threads/{thread_id}/schedules/{schedule_id}", tags=["schedules"])
async def change_schedule(
    caller: Caller,
    wiring: Behind,
    tools: Using,
    thread_id: ThreadId,
    schedule_id: ScheduleId,
    body: ChangeSchedule,
    response: Response,
    if_match: Annotated[str | None, Header(description="The ETag of the schedule that is changed.")] = None,
) -> ScheduleView:
    """Pause or resume it, change what is sent and when. Whoever changes more than `paused` sends it from then on. A call that
    changes nothing is always accepted, so that it can be repeated."""
    check_model(body.model or "", wiring.models)
    schedule = await tools.update_schedule(
        caller.user_id,
        thread_id,
        schedule_id,
        ScheduleChange(**body.model_dump()),
        expected_revision=expected_revision(if_match),
        roles=(caller.role,),
    )
    return _tagged(schedule, response)


@router.delete("/threads/{thread_id}/schedules/{schedule_id}", status_code=204, tags=["schedules"])
async def delete_schedule(caller: Caller, tools: Using, thread_id: ThreadId, schedule_id: ScheduleId) -> None:
    """Send it no more."""
    await tools.delete_schedule(caller.user_id, thread_id, schedule_id)


async def _send(
    wiring: Wiring, caller: Caller, thread_id: str, message: MessageToSend, request: Request
) -> views.AcceptedView:
    wait = wiring.messages.take(caller.user_id, asyncio.get_running_loop().time())
    if wait:
        raise Refusal(Code.LIMIT_REACHED, "Too many messages at once; wait a moment.", retry_after=wait)
    path = await wiring.choose_path(caller, thread_id=thread_id, model=message.model, asked="")
    accepted = await send_message(wiring.conversation, wiring.models, caller.user_id, thread_id, message, path=path)
    request.scope[ANSWERING_PATH] = accepted.path
    return views.accepted_view(accepted, str(START))


def _branch_view(branch: Branch) -> BranchView:
    return BranchView(
        id=branch.id,
        label=branch.label,
        parent_message_id=branch.parent_message_id or None,
        head=branch.head,
        length=branch.length,
        active=branch.active,
        created_at=branch.created_at,
    )


def _tagged(schedule: Schedule, response: Response) -> ScheduleView:
    response.headers["etag"] = f'"{schedule.revision}"'
    return _schedule_view(schedule)


def _schedule_view(schedule: Schedule) -> ScheduleView:
    return ScheduleView(
        id=schedule.id,
        thread_id=schedule.thread_id,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        content=schedule.content,
        model=schedule.model,
        agent=schedule.agent,
        on_busy=schedule.on_busy,
        created_at=schedule.created_at,
        next_at=schedule.next_at or None,
        last_run_id=schedule.last_run_id or None,
        last_refusal=schedule.last_refusal or None,
        user_id=schedule.user_id,
        revision=schedule.revision,
        paused=schedule.paused,
    )
