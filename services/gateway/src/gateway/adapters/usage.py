"""UsageService over gRPC."""

from collections.abc import Sequence
from typing import Final

from rpc.v1 import usage_pb2 as pb
from rpc.v1.usage_pb2_grpc import UsageServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.domain.spending import UsageSum


class GrpcUsage:
    """domain.spending.Spending. `deadline` is what one call may take, in seconds."""

    def __init__(self, addresses: str, *, deadline: float) -> None:
        self._channel: Final = connect(addresses, idempotent=["everthread.v1.UsageService/SumUsage"])
        self._stub: Final = UsageServiceStub(self._channel)
        self._deadline: Final = deadline

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def sums(self, user_id: str, since: str, *, by_user: bool) -> Sequence[UsageSum]:
        """See domain.spending.Spending."""
        request = pb.SumUsageRequest(user_id=user_id, since=since, by_user=by_user)
        return [_sum(item) for item in (await call(self._stub.SumUsage, request, self._deadline)).items]


def _sum(item: pb.UsageSum) -> UsageSum:
    return UsageSum(
        day=item.day,
        model=item.model,
        user_id=item.user_id,
        calls=item.calls,
        input_tokens=item.input_tokens,
        output_tokens=item.output_tokens,
        cached_tokens=item.cached_tokens,
        reasoning_tokens=item.reasoning_tokens,
        cost_microusd=item.cost_microusd,
        unpriced_calls=item.unpriced_calls,
        estimated_calls=item.estimated_calls,
        retried_calls=item.retried_calls,
        retried_cost_microusd=item.retried_cost_microusd,
        estimated_cost_microusd=item.estimated_cost_microusd,
    )
