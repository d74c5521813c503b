"""OperationsService over gRPC."""

from collections.abc import Sequence
from typing import Final

from rpc.v1 import operations_pb2 as pb
from rpc.v1.operations_pb2_grpc import OperationsServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.adapters.conversation import run_of
from gateway.domain.console import DeadLetter, ListedRun, RunCounts, RunFilter
from gateway.domain.records import Message, Run

SERVICE: Final = "everthread.v1.OperationsService"
IDEMPOTENT: Final = tuple(
    f"{SERVICE}/{method}" for method in ("ListAllRuns", "GetAnyRun", "CountRuns", "ListDeadLetters")
)


class GrpcOperations:
    """console_ports.Operations. `deadline` is what one call may take, in seconds."""

    def __init__(self, addresses: str, *, deadline: float) -> None:
        self._channel: Final = connect(addresses, idempotent=IDEMPOTENT)
        self._stub: Final = OperationsServiceStub(self._channel)
        self._deadline: Final = deadline

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def list_runs(self, which: RunFilter, *, cursor: str, limit: int) -> tuple[Sequence[ListedRun], str]:
        """See console_ports.Operations."""
        request = pb.ListAllRunsRequest(
            status=which.status,
            path=which.path,
            model=which.model,
            user_id=which.user_id,
            agent=which.agent,
            since=which.since,
            cursor=cursor,
            limit=limit,
        )
        answer = await call(self._stub.ListAllRuns, request, self._deadline)
        return [_listed(item) for item in answer.items], answer.next_cursor

    async def get_run(self, user_id: str, run_id: str, *, commanding: bool = False) -> tuple[Run, Message | None]:
        """See console_ports.Operations."""
        answer = await call(self._stub.GetAnyRun, pb.GetAnyRunRequest(run_id=run_id), self._deadline)
        return run_of(answer.run), None

    async def count_runs(self) -> RunCounts:
        """See console_ports.Operations."""
        answer = await call(self._stub.CountRuns, pb.CountRunsRequest(), self._deadline)
        return RunCounts(
            pending=answer.pending,
            generating=answer.generating,
            waiting=answer.waiting,
            ended_last_hour=answer.ended_last_hour,
            failed_last_hour=answer.failed_last_hour,
            outbox=answer.outbox,
        )

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """See console_ports.Operations."""
        answer = await call(self._stub.ListDeadLetters, pb.ListDeadLettersRequest(limit=limit), self._deadline)
        return [
            DeadLetter(
                sequence=item.sequence,
                consumer=item.consumer,
                stream=item.stream,
                subject=item.subject,
                reason=item.reason,
                delivered=item.delivered,
                at=item.at,
            )
            for item in answer.items
        ]

    async def retry_dead_letter(self, sequence: int) -> None:
        """See console_ports.Operations."""
        await call(self._stub.RetryDeadLetter, pb.RetryDeadLetterRequest(sequence=sequence), self._deadline)


def _listed(item: pb.ListedRun) -> ListedRun:
    return ListedRun(
        id=item.id,
        thread_id=item.thread_id,
        user_id=item.user_id,
        status=item.status,
        path=item.path,
        model=item.model,
        agent=item.agent,
        created_at=item.created_at,
        ended_at=item.ended_at,
        attempts=item.attempts,
        cost_microusd=item.cost_microusd if item.HasField("cost_microusd") else None,
        error_code=item.error_code,
    )
