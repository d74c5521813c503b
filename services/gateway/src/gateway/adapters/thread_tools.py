"""Branches, forks, schedules and runs over gRPC."""

from collections.abc import Sequence
from typing import Final

from rpc.v1 import conversation_pb2 as pb
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.adapters.conversation import SERVICE, run_of, thread_of
from gateway.domain.records import Branch, Run, Schedule, ScheduleChange, Thread


class GrpcThreadTools:
    """`thread_ports.ThreadTools`. `deadline` is what one call may take, in seconds."""

    def __init__(self, addresses: str, *, deadline: float) -> None:
        reads = ("ListBranches", "ListSchedules", "ListRuns")
        self._channel: Final = connect(addresses, idempotent=[f"{SERVICE}/{method}" for method in reads])
        self._stub: Final = ConversationServiceStub(self._channel)
        self._deadline: Final = deadline

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def list_branches(self, user_id: str, thread_id: str) -> Sequence[Branch]:
        """See thread_ports.ThreadTools."""
        request = pb.ListBranchesRequest(user_id=user_id, thread_id=thread_id)
        answer = await call(self._stub.ListBranches, request, self._deadline)
        return [_branch(item) for item in answer.items]

    async def label_branch(self, user_id: str, thread_id: str, branch_id: str, label: str) -> Branch:
        """See thread_ports.ThreadTools."""
        request = pb.LabelBranchRequest(user_id=user_id, thread_id=thread_id, branch_id=branch_id, label=label)
        return _branch((await call(self._stub.LabelBranch, request, self._deadline)).branch)

    async def fork_thread(
        self, user_id: str, thread_id: str, message_id: str, title: str, *, idempotency_key: str
    ) -> Thread:
        """See thread_ports.ThreadTools."""
        request = pb.ForkThreadRequest(
            user_id=user_id, thread_id=thread_id, message_id=message_id, title=title, idempotency_key=idempotency_key
        )
        return thread_of((await call(self._stub.ForkThread, request, self._deadline)).thread)

    async def create_schedule(
        self, user_id: str, schedule: Schedule, roles: Sequence[str], *, idempotency_key: str
    ) -> Schedule:
        """See thread_ports.ThreadTools."""
        request = pb.CreateScheduleRequest(
            user_id=user_id,
            thread_id=schedule.thread_id,
            cron=schedule.cron,
            time_zone=schedule.time_zone,
            content=schedule.content,
            model=schedule.model,
            agent=schedule.agent,
            on_busy=schedule.on_busy,
            roles=roles,
            idempotency_key=idempotency_key,
        )
        return _schedule((await call(self._stub.CreateSchedule, request, self._deadline)).schedule)

    async def list_schedules(self, user_id: str, thread_id: str) -> Sequence[Schedule]:
        """See thread_ports.ThreadTools."""
        request = pb.ListSchedulesRequest(user_id=user_id, thread_id=thread_id)
        answer = await call(self._stub.ListSchedules, request, self._deadline)
        return [_schedule(item) for item in answer.items]

    async def update_schedule(
        self,
        user_id: str,
        thread_id: str,
        schedule_id: str,
        change: ScheduleChange,
        *,
        expected_revision: int,
        roles: Sequence[str],
    ) -> Schedule:
        """See thread_ports.ThreadTools."""
        request = pb.UpdateScheduleRequest(
            user_id=user_id,
            thread_id=thread_id,
            schedule_id=schedule_id,
            expected_revision=expected_revision,
            cron=change.cron,
            time_zone=change.time_zone,
            content=change.content,
            model=change.model,
            agent=change.agent,
            on_busy=change.on_busy,
            paused=change.paused,
            roles=roles,
        )
        return _schedule((await call(self._stub.UpdateSchedule, request, self._deadline)).schedule)

    async def delete_schedule(self, user_id: str, thread_id: str, schedule_id: str) -> None:
        """See thread_ports.ThreadTools."""
        request = pb.DeleteScheduleRequest(user_id=user_id, thread_id=thread_id, schedule_id=schedule_id)
        await call(self._stub.DeleteSchedule, request, self._deadline)

    async def list_runs(self, user_id: str, thread_id: str, limit: int) -> Sequence[Run]:
        """See thread_ports.ThreadTools."""
        request = pb.ListRunsRequest(user_id=user_id, thread_id=thread_id, limit=limit)
        return [run_of(item) for item in (await call(self._stub.ListRuns, request, self._deadline)).items]


def _branch(item: pb.Branch) -> Branch:
    return Branch(
        id=item.id,
        label=item.label,
        parent_message_id=item.parent_message_id,
        head=item.head,
        length=item.length,
        active=item.active,
        created_at=item.created_at,
    )


def _schedule(item: pb.Schedule) -> Schedule:
    return Schedule(
        id=item.id,
        thread_id=item.thread_id,
        cron=item.cron,
        time_zone=item.time_zone,
        content=item.content,
        model=item.model,
        agent=item.agent,
        on_busy=item.on_busy,
        created_at=item.created_at,
        next_at=item.next_at,
        last_run_id=item.last_run_id,
        last_refusal=item.last_refusal,
        user_id=item.user_id,
        revision=item.revision,
        paused=item.paused,
    )
