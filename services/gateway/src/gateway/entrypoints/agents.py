"""Which agents there are."""

from typing import Annotated

from contracts.codes import Code
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from gateway.domain.problems import Refusal
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of

router = APIRouter(prefix="/v1", tags=["agents"])


class AgentView(BaseModel):
    """An agent. A null model means the thread's, else the user's default."""

    id: str
    name: str
    description: str
    model: str | None
    tools: list[str]


class AgentsView(BaseModel):
    """All agents, the one that answers where none is named first."""

    items: list[AgentView]
    default: str


@router.get("/agents", dependencies=[Depends(principal_of)])
async def list_agents(wiring: Annotated[Wiring, Depends(wiring_of)]) -> AgentsView:
    """The agents that a message or a thread can name."""
    if wiring.agents is None:
        raise Refusal(Code.NOT_FOUND, "This installation does not tell its agents.")
    agents = await wiring.agents.agents()
    return AgentsView(
        items=[
            AgentView(
                id=agent.name,
                name=agent.name,
                description=agent.description,
                model=agent.model or None,
                tools=list(agent.tools),
            )
            for agent in agents
        ],
        default=agents[0].name,
    )
