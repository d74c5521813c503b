"""gRPC: which agents there are."""

from typing import Any

import grpc
from rpc.v1 import agents_pb2 as pb
from rpc.v1.agents_pb2_grpc import AgentServiceServicer

from inference.agents.domain.config import Agents


class AgentService(AgentServiceServicer):
    """proto/rpc/v1/agents.proto over the agents' files, read at start."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def ListAgents(
        self, request: pb.ListAgentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListAgentsResponse:
        default = self._agents.default
        others = sorted(
            (agent for agent in self._agents.by_name.values() if agent is not default), key=lambda a: a.name
        )
        return pb.ListAgentsResponse(
            items=[
                pb.Agent(name=agent.name, description=agent.description, model=agent.model, tools=agent.tools)
                for agent in (default, *others)
            ]
        )
