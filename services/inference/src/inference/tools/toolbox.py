"""All tools of a worker, and those of one model call."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.agents.domain.config import AgentConfig
from inference.tools.domain.choice import Situation, choose_tools
from inference.tools.domain.spec import ToolSpec
from inference.tools.ports import Tool, ToolSource


@dataclass(frozen=True, slots=True)
class Offered:
    """The tools of one call by name, in the order in which they are sent, and why each other was left out."""

    tools: Mapping[str, Tool]
    left_out: Mapping[str, str]

    @property
    def specs(self) -> list[ToolSpec]:
        """What the model is sent."""
        return [tool.spec for tool in self.tools.values()]


class Toolbox:
    """Built in bootstrap. `own` are built-in tools and functions, `mesh` the services' tools, `mcp` the servers by name."""

    def __init__(
        self, own: Sequence[Tool], *, mesh: ToolSource | None = None, mcp: Mapping[str, ToolSource] | None = None
    ) -> None:
        self._own, self._mesh, self._mcp = tuple(own), mesh, dict(mcp or {})

    async def offer(self, agent: AgentConfig, situation: Situation, more: Sequence[Tool] = ()) -> Offered:
        """The tools of the agent's next call. `more`: those made for this agent (its document search, its hand-over). Sources
        are asked only where the agent names their kind, an MCP server only by an agent that lists it."""
        available = [*more, *self._own]
        if situation.model_has_tools:
            found = await asyncio.gather(*(source.tools() for source in self._sources(agent)))
            available += [tool for tools in found for tool in tools]
        by_spec = {id(tool.spec): tool for tool in available}
        choice = choose_tools([tool.spec for tool in available], agent.tools, situation)
        return Offered({spec.name: by_spec[id(spec)] for spec in choice.tools}, choice.left_out)

    def _sources(self, agent: AgentConfig) -> list[ToolSource]:
        kinds = {pattern.partition(":")[0] for pattern in agent.tools if ":" in pattern}
        sources = [self._mesh] if "mesh" in kinds and self._mesh is not None else []
        if "mcp" in kinds:
            sources += [self._mcp[server.name] for server in agent.mcp_servers if server.name in self._mcp]
        return sources

    async def close(self) -> None:
        """Close every source."""
        for source in (*self._mcp.values(), *([self._mesh] if self._mesh is not None else [])):
            await source.close()
