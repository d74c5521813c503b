"""AgentService over gRPC; what it said is kept for a while, since agents change with a deployment."""

import asyncio
from collections.abc import Sequence
from typing import Final

from rpc.v1 import agents_pb2 as pb
from rpc.v1.agents_pb2_grpc import AgentServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.domain.agents import Agent

FRESH_SECONDS: Final = 30.0
CALL_SECONDS: Final = 2.0


class GrpcAgents:
    """domain.agents.AgentList."""

    def __init__(self, addresses: str) -> None:
        self._channel: Final = connect(addresses, idempotent=["everthread.v1.AgentService/ListAgents"])
        self._stub: Final = AgentServiceStub(self._channel)
        self._known: Sequence[Agent] = ()
        self._fresh_until = 0.0

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def agents(self) -> Sequence[Agent]:
        """See domain.agents.AgentList."""
        now = asyncio.get_running_loop().time()
        if now >= self._fresh_until:
            answer = await call(self._stub.ListAgents, pb.ListAgentsRequest(), CALL_SECONDS)
            self._known = [
                Agent(name=item.name, description=item.description, model=item.model, tools=tuple(item.tools))
                for item in answer.items
            ]
            self._fresh_until = now + FRESH_SECONDS
        return self._known
