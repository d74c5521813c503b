"""What people do with a run that goes on: answer what it waits for, approve, steer; and the list of runs."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from contracts.cursor import START
from fastapi import APIRouter, Query
from pydantic import BaseModel, StringConstraints

from gateway.entrypoints import views
from gateway.entrypoints.keys import Key
from gateway.entrypoints.routes import Behind, Caller, RunId, thread_id_of
from gateway.entrypoints.schemas import check_value
from gateway.entrypoints.thread_tools import Using
from gateway.handlers.answer_wait import decide_approval, provide_input
from gateway.handlers.steer_run import steer_run

router = APIRouter(prefix="/v1", tags=["runs"])

WaitId = Annotated[str, StringConstraints(max_length=200)]


class ProvideInput(views.Body):
    """What the run waits for: any JSON that fits its schema. Without a `wait_id`: whatever it waits for now."""

    value: Any
    wait_id: WaitId = ""


class DecideApproval(views.Body):
    """Whether the tool call may be carried out. The note goes to the model where it may not."""

    approved: bool
    wait_id: WaitId = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class SteerRun(views.Body):
    """What the answer shall take into account from its next step on."""

    content: str


class AnsweredView(BaseModel):
    """The answer is durable; the run goes on with it."""

    run_id: str
    wait_id: str
    status: Literal["answered"]


class RunList(BaseModel):
    """Newest first."""

    items: list[views.RunView]


@router.post("/runs/{run_id}/input", status_code=202)
async def post_input(caller: Caller, wiring: Behind, run_id: RunId, body: ProvideInput) -> AnsweredView:
    """Give a run the input it waits for. Of several answers the first counts."""
    wait_id = await provide_input(
        wiring.conversation,
        wiring.log,
        caller.user_id,
        run_id,
        wait_id=body.wait_id,
        value=body.value,
        check=check_value,
        now=datetime.now(UTC),
    )
    return AnsweredView(run_id=run_id, wait_id=wait_id, status="answered")


@router.post("/runs/{run_id}/approve", status_code=202)
async def post_approval(caller: Caller, wiring: Behind, run_id: RunId, body: DecideApproval) -> AnsweredView:
    """Approve or refuse the tool call that a run waits with. Of several decisions the first counts."""
    wait_id = await decide_approval(
        wiring.conversation,
        wiring.log,
        caller.user_id,
        run_id,
        wait_id=body.wait_id,
        approved=body.approved,
        note=body.note,
        now=datetime.now(UTC),
    )
    return AnsweredView(run_id=run_id, wait_id=wait_id, status="answered")


@router.post("/runs/{run_id}/steer", status_code=202)
async def post_steer(
    caller: Caller,
    wiring: Behind,
    run_id: RunId,
    body: SteerRun,
    key: Key,
) -> views.AcceptedView:
    """Have a message join the answer at its next step."""
    accepted = await steer_run(
        wiring.conversation,
        wiring.models,
        caller.user_id,
        run_id,
        body.content,
        roles=(caller.role,),
        idempotency_key=key,
    )
    return views.accepted_view(accepted, str(START))


@router.get("/runs")
async def list_runs(
    caller: Caller,
    tools: Using,
    thread_id: Annotated[str, Query(max_length=64, description="Of this thread; else the caller's, of a week.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> RunList:
    """The newest runs, as they are stored."""
    runs = await tools.list_runs(caller.user_id, thread_id_of(thread_id) if thread_id else "", limit)
    return RunList(items=[views.run_view(run, None) for run in runs])
