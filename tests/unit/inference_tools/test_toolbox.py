"""Which tools an agent's next call is offered, and who is asked for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.agents.domain.config import AgentConfig, McpServer
from inference.tools.domain.choice import Situation
from inference.tools.domain.outcome import Output, ToolOutcome
from inference.tools.domain.spec import Kind, ToolSpec
from inference.tools.ports import Tool, ToolContext
from inference.tools.toolbox import Toolbox

CAN = Situation(model_has_tools=True)


class Named:
    def __init__(self, name: str, kind: Kind = "builtin") -> None:
        self.spec = ToolSpec(name=name, description=name, input_schema={"type": "object"}, kind=kind)

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return Output(self.spec.name)


class Source:
    def __init__(self, *tools: Tool) -> None:
        self.asked, self.closed, self._tools = 0, False, tools

    async def tools(self) -> Sequence[Tool]:
        self.asked += 1
        return self._tools

    async def close(self) -> None:
        self.closed = True


def agent(*tools: str, servers: Sequence[str] = ()) -> AgentConfig:
    return AgentConfig(
        name="a",
        description="",
        system_prompt="",
        tools=tools,
        mcp_servers=tuple(McpServer(name=name, command="x") for name in servers),
    )


async def test_only_who_is_named_is_asked() -> None:
    mesh, files, web = (
        Source(Named("orders_find", "mesh")),
        Source(Named("files_read", "mcp")),
        Source(Named("web_get", "mcp")),
    )
    box = Toolbox([Named("time"), Named("calculator")], mesh=mesh, mcp={"files": files, "web": web})

    offered = await box.offer(agent("time"), CAN)
    assert list(offered.tools) == ["time"]
    assert (mesh.asked, files.asked, web.asked) == (0, 0, 0)

    offered = await box.offer(agent("mesh:*", "mcp:*", "time", servers=["files"]), CAN)
    assert list(offered.tools) == ["orders_find", "files_read", "time"]
    assert [spec.name for spec in offered.specs] == list(offered.tools)
    assert (mesh.asked, files.asked, web.asked) == (1, 1, 0)

    await box.offer(agent("mesh:*"), Situation(model_has_tools=False))
    assert mesh.asked == 1
    await box.close()
    assert mesh.closed
    assert files.closed
    assert web.closed


async def test_a_tool_made_for_this_agent_takes_the_place_of_the_general_one() -> None:
    general, own = Named("document_search"), Named("document_search")
    offered = await Toolbox([general]).offer(agent("document_search"), CAN, [own])
    assert offered.tools["document_search"] is own
