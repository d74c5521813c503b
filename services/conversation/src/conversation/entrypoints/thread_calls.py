"""gRPC calls about a thread as a whole: its branches, forks, schedules and runs."""

from typing import Any

import grpc
from contracts.times import rfc3339
from rpc.v1 import conversation_pb2 as pb

from conversation.domain.branches import Branch
from conversation.domain.schedules import Schedule, ScheduleChange
from conversation.entrypoints.answering import answering
from conversation.entrypoints.replies import run_reply, thread_reply
from conversation.handlers.create_schedule import create_schedule
from conversation.handlers.delete_schedule import delete_schedule
from conversation.handlers.fork_thread import fork_thread
from conversation.handlers.label_branch import label_branch
from conversation.handlers.list_branches import list_branches
from conversation.handlers.list_runs import list_runs
from conversation.handlers.list_schedules import list_schedules
from conversation.handlers.update_schedule import update_schedule
from conversation.ports import Parts

Context = grpc.aio.ServicerContext[Any, Any]


class ThreadCalls:
    """Part of ConversationService."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def ListBranches(self, request: pb.ListBranchesRequest, context: Context) -> pb.ListBranchesResponse:
        async with answering(context):
            found = await list_branches(self._parts, request.user_id, request.thread_id)
            return pb.ListBranchesResponse(items=[_branch_reply(branch) for branch in found])

    async def LabelBranch(self, request: pb.LabelBranchRequest, context: Context) -> pb.LabelBranchResponse:
        async with answering(context):
            branch = await label_branch(
                self._parts, request.user_id, request.thread_id, request.branch_id, request.label
            )
            return pb.LabelBranchResponse(branch=_branch_reply(branch))

    async def ForkThread(self, request: pb.ForkThreadRequest, context: Context) -> pb.ForkThreadResponse:
        async with answering(context):
            fork = await fork_thread(
                self._parts,
                request.user_id,
                request.thread_id,
                request.message_id,
                request.title,
                key=request.idempotency_key,
            )
            return pb.ForkThreadResponse(thread=thread_reply(fork, request.user_id))

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Context) -> pb.CreateScheduleResponse:
        async with answering(context):
            schedule = await create_schedule(
                self._parts,
                request.user_id,
                request.thread_id,
                cron=request.cron,
                time_zone=request.time_zone,
                content=request.content,
                model=request.model,
                agent=request.agent,
                on_busy=request.on_busy,
                roles=tuple(request.roles),
                key=request.idempotency_key,
            )
            return pb.CreateScheduleResponse(schedule=_schedule_reply(schedule))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        async with answering(context):
            found = await list_schedules(self._parts, request.user_id, request.thread_id)
            return pb.ListSchedulesResponse(items=[_schedule_reply(schedule) for schedule in found])

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Context) -> pb.UpdateScheduleResponse:
        async with answering(context):
            schedule = await update_schedule(
                self._parts,
                request.user_id,
                request.thread_id,
                request.schedule_id,
                _change(request),
                expected_revision=request.expected_revision,
                roles=tuple(request.roles),
            )
            return pb.UpdateScheduleResponse(schedule=_schedule_reply(schedule))

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Context) -> pb.DeleteScheduleResponse:
        async with answering(context):
            await delete_schedule(self._parts, request.user_id, request.thread_id, request.schedule_id)
            return pb.DeleteScheduleResponse()

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        async with answering(context):
            runs = await list_runs(self._parts, request.user_id, request.thread_id, request.limit)
            return pb.ListRunsResponse(items=[run_reply(run) for run in runs])


def _branch_reply(branch: Branch) -> pb.Branch:
    return pb.Branch(
        id=branch.id,
        label=branch.label,
        parent_message_id=branch.parent_message_id,
        head=branch.head,
        length=branch.length,
        active=branch.active,
        created_at=rfc3339(branch.created_at),
    )


def _change(request: pb.UpdateScheduleRequest) -> ScheduleChange:
    return ScheduleChange(
        cron=request.cron if request.HasField("cron") else None,
        time_zone=request.time_zone if request.HasField("time_zone") else None,
        content=request.content if request.HasField("content") else None,
        model=request.model if request.HasField("model") else None,
        agent=request.agent if request.HasField("agent") else None,
        on_busy=request.on_busy if request.HasField("on_busy") else None,
        paused=request.paused if request.HasField("paused") else None,
    )


def _schedule_reply(schedule: Schedule) -> pb.Schedule:
    return pb.Schedule(
        id=schedule.id,
        thread_id=schedule.thread_id,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        content=schedule.content,
        model=schedule.model,
        agent=schedule.agent,
        on_busy=schedule.on_busy,
        created_at=rfc3339(schedule.created_at),
        next_at="" if schedule.next_at is None else rfc3339(schedule.next_at),
        last_run_id=schedule.last_run_id,
        last_refusal=schedule.last_refusal,
        user_id=schedule.user_id,
        revision=schedule.revision,
        paused=schedule.paused,
    )
