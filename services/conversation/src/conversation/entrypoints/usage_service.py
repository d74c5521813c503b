"""gRPC of usage."""

from typing import Any

import grpc
from rpc.v1 import usage_pb2 as pb
from rpc.v1.usage_pb2_grpc import UsageServiceServicer

from conversation.domain.spending import UsageSum
from conversation.entrypoints.answering import answering
from conversation.handlers.sum_usage import Ledger, sum_usage

Context = grpc.aio.ServicerContext[Any, Any]


class UsageService(UsageServiceServicer):
    """proto/rpc/v1/usage.proto over the handler."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def SumUsage(self, request: pb.SumUsageRequest, context: Context) -> pb.SumUsageResponse:
        async with answering(context):
            sums = await sum_usage(self._ledger, request.user_id, request.since, by_user=request.by_user)
            return pb.SumUsageResponse(items=[_reply(found) for found in sums])


def _reply(found: UsageSum) -> pb.UsageSum:
    return pb.UsageSum(
        day=found.day,
        model=found.model,
        user_id=found.user_id,
        calls=found.calls,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        cached_tokens=found.cached_tokens,
        reasoning_tokens=found.reasoning_tokens,
        cost_microusd=found.cost_microusd,
        unpriced_calls=found.unpriced_calls,
        estimated_calls=found.estimated_calls,
        retried_calls=found.retried_calls,
        retried_cost_microusd=found.retried_cost_microusd,
        estimated_cost_microusd=found.estimated_cost_microusd,
    )
