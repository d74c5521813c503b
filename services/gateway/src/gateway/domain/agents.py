"""Agents as the gateway knows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.codes import Code

from gateway.domain.problems import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent. An empty model means the thread's, else the user's default."""

    name: str
    description: str
    model: str
    tools: tuple[str, ...]


class AgentList(Protocol):
    """The agents there are."""

    async def agents(self) -> Sequence[Agent]:
        """The default one first. Raises Refusal where inference does not answer."""


async def check_agent(known: AgentList | None, name: str) -> None:
    """An agent that is named must exist; raises Refusal. Where inference cannot be asked it is let pass: the run itself ends
    with `agent_unknown` where there is none."""
    if not name or known is None:
        return
    try:
        agents = await known.agents()
    except Refusal:
        return
    if all(agent.name != name for agent in agents):
        names = ", ".join(agent.name for agent in agents)
        raise Refusal(Code.AGENT_UNKNOWN, f"There is no agent {name[:40]!r}; there are: {names}.")
