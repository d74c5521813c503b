"""gRPC for administrators."""

from datetime import datetime
from typing import Any, Final

import grpc
from contracts.codes import Code
from contracts.times import parse_rfc3339, rfc3339
from rpc.v1 import operations_pb2 as pb
from rpc.v1.operations_pb2_grpc import OperationsServiceServicer

from conversation.domain.entities import Run
from conversation.domain.operations import RunQuery
from conversation.domain.refusals import RefusedError
from conversation.entrypoints.answering import answering
from conversation.entrypoints.replies import run_reply
from conversation.handlers.count_runs import count_runs
from conversation.handlers.get_any_run import get_any_run
from conversation.handlers.list_all_runs import list_all_runs
from conversation.handlers.retry_dead_letter import retry_dead_letter
from conversation.operations_ports import OperationsParts

Context = grpc.aio.ServicerContext[Any, Any]
MOST_LETTERS: Final = 500


class OperationsService(OperationsServiceServicer):
    """proto/rpc/v1/operations.proto over the handlers."""

    def __init__(self, parts: OperationsParts) -> None:
        self._parts: Final = parts

    async def ListAllRuns(self, request: pb.ListAllRunsRequest, context: Context) -> pb.ListAllRunsResponse:
        async with answering(context):
            query = RunQuery(
                status=request.status,
                path=request.path,
                model=request.model,
                user_id=request.user_id,
                agent=request.agent,
                since=_moment(request.since),
            )
            runs, cursor = await list_all_runs(self._parts, query, cursor=request.cursor, limit=request.limit)
            return pb.ListAllRunsResponse(items=[_listed(run) for run in runs], next_cursor=cursor)

    async def GetAnyRun(self, request: pb.GetAnyRunRequest, context: Context) -> pb.GetAnyRunResponse:
        async with answering(context):
            return pb.GetAnyRunResponse(run=run_reply(await get_any_run(self._parts, request.run_id)))

    async def CountRuns(self, request: pb.CountRunsRequest, context: Context) -> pb.CountRunsResponse:
        async with answering(context):
            counts = await count_runs(self._parts)
            return pb.CountRunsResponse(
                pending=counts.pending,
                generating=counts.generating,
                waiting=counts.waiting,
                ended_last_hour=counts.ended,
                failed_last_hour=counts.failed,
                outbox=counts.outbox,
            )

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Context) -> pb.ListDeadLettersResponse:
        async with answering(context):
            letters = await self._parts.letters.newest(min(max(request.limit, 1), MOST_LETTERS))
            return pb.ListDeadLettersResponse(
                items=[
                    pb.DeadLetter(
                        sequence=letter.id,
                        consumer=letter.consumer,
                        stream=letter.stream,
                        subject=letter.subject,
                        reason=letter.reason,
                        delivered=letter.delivered,
                        at=letter.at,
                    )
                    for letter in letters
                ]
            )

    async def RetryDeadLetter(self, request: pb.RetryDeadLetterRequest, context: Context) -> pb.RetryDeadLetterResponse:
        async with answering(context):
            await retry_dead_letter(self._parts, request.sequence)
            return pb.RetryDeadLetterResponse()


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_rfc3339(text)
        # Without a zone, or before there was any run, it is no moment that anybody means.
        if moment.tzinfo is None or moment.timestamp() < 0:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise RefusedError(Code.QUERY_INVALID, "`since` is no time of RFC 3339 since 1970.") from None
    return moment


def _listed(run: Run) -> pb.ListedRun:
    return pb.ListedRun(
        id=run.id,
        thread_id=run.thread_id,
        user_id=run.user_id,
        status=run.status,
        path=run.path,
        model=run.model,
        agent=run.agent,
        created_at=rfc3339(run.created_at),
        ended_at="" if run.ended_at is None else rfc3339(run.ended_at),
        attempts=run.attempts,
        cost_microusd=run.cost_microusd,
        error_code=run.error_code,
    )
