"""`POST /v1/demo/runs/{run_id}/kill`: kills the worker that writes an answer, for anybody to see what durable means. There only
with `everthread up --demo`, on this machine."""

from contracts.codes import Code
from fastapi import APIRouter
from pydantic import BaseModel

from gateway.domain.problems import Refusal
from gateway.entrypoints.routes import Behind, Caller, RunId

router = APIRouter(prefix="/v1/demo")


class KilledView(BaseModel):
    """The worker that was killed with SIGKILL."""

    worker: str
    pid: int


@router.post("/runs/{run_id}/kill", status_code=202, tags=["demo"])
async def kill_worker(caller: Caller, wiring: Behind, run_id: RunId) -> KilledView:
    """Kill the worker that writes this answer. Another one goes on with it."""
    run, message = await wiring.conversation.get_run(caller.user_id, run_id)
    holder = await wiring.log.holder(run.thread_id, run_id) if message is None else None
    if holder is None or holder.released:
        raise Refusal(Code.RUN_FINISHED, "No worker holds this run now.")
    instance = holder.worker.rpartition("-")[0]
    pid = wiring.demo.kill(instance) if wiring.demo is not None else None
    if pid is None:
        raise Refusal(Code.UNAVAILABLE, f"The process of {instance} is not known on this machine; try again.")
    return KilledView(worker=instance, pid=pid)
