"""The tools that the service brings along."""

from collections.abc import Mapping

from bus.jetstream import JetStreamBus

from inference.agents.domain.config import Agents
from inference.ports import Clock
from inference.tools.adapters.calculator import calculator_tool
from inference.tools.adapters.current_time import current_time_tool
from inference.tools.adapters.http_fetch import http_fetch_tool
from inference.tools.adapters.mcp_tools import McpTools
from inference.tools.adapters.mesh_tools import MeshTools
from inference.tools.adapters.suspensions import ask_user_tool, wait_tool
from inference.tools.toolbox import Toolbox


def new_toolbox(bus: JetStreamBus, agents: Agents, clock: Clock, environment: Mapping[str, str]) -> Toolbox:
    """Built-in tools, the services' on the mesh, and every MCP server that an agent names. Close it."""
    return Toolbox(
        [
            current_time_tool(clock.now),
            calculator_tool(),
            ask_user_tool(clock.now),
            wait_tool(clock.now),
            http_fetch_tool(),
        ],
        mesh=MeshTools(bus.client),
        mcp={name: McpTools(server, environment) for name, server in agents.mcp_servers.items()},
    )
