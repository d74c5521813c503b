"""All tools of the worker, with those that are made for one agent: its document search and its hand-over."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from inference.agents.domain.config import AgentConfig, Agents
from inference.domain.hand_overs import HAND_OFF
from inference.ports import Cite, Passages
from inference.retrieval.domain.ranking import Passage
from inference.tools.adapters.arguments import check_arguments
from inference.tools.adapters.document_search import document_search_tool
from inference.tools.adapters.suspensions import hand_off_tool
from inference.tools.domain.choice import Situation
from inference.tools.domain.spec import ToolSpec
from inference.tools.ports import Tool, ToolContext
from inference.tools.toolbox import Offered, Toolbox


class AgentTools:
    """Implements ports.Tools."""

    def __init__(self, toolbox: Toolbox, agents: Agents, passages: Passages) -> None:
        self._toolbox, self._agents, self._passages = toolbox, agents, passages

    async def offer(self, agent: AgentConfig, situation: Situation, cite: Cite) -> Offered:
        """See ports.Tools."""

        def found(_: ToolContext, sources: Sequence[tuple[Passage, str]]) -> None:
            for passage, quote in sources:
                cite(passage, quote)

        more: list[Tool] = [document_search_tool(self._passages, agent.retrieval.corpora, found)]
        if agent.hand_off:
            more.append(hand_off_tool({name: self._agents.by_name[name].description for name in agent.hand_off}))
            # Naming who to hand over to is what allows it; the tool need not be named as well.
            agent = replace(agent, tools=(*agent.tools, HAND_OFF))
        return await self._toolbox.offer(agent, situation, more)

    def check(self, spec: ToolSpec, arguments: Any) -> str | None:
        """See ports.Tools."""
        return check_arguments(spec, arguments)
