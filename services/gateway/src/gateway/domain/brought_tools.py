"""Tools that a client brings along: what is looked at before anything is started."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from contracts.client_tools import MOST_BYTES, MOST_TOOLS, ClientTool, ClientTools, encode_tools
from contracts.codes import Code

from gateway.domain.agents import AgentList
from gateway.domain.problems import Refusal

NAME_CHARACTERS: Final = 64
_PUNCTUATION: Final = frozenset("_-")


class ToolProblem(ValueError):
    """What is wrong with the tool at `index`, in its field `place`; with all of them where `index` is None."""

    def __init__(self, sentence: str, *, index: int | None = None, place: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.index, self.place = sentence, index, place


def check_brought(tools: Sequence[ClientTool], check_schema: Callable[[Any], str]) -> None:
    """Names, schemas, number and size. `check_schema` says what is wrong with a JSON schema. Raises ToolProblem."""
    if len(tools) > MOST_TOOLS:
        raise ToolProblem(f"There are {len(tools)} tools; at most {MOST_TOOLS} are accepted.")
    size = len(encode_tools(ClientTools(tools=tuple(tools))))
    if size > MOST_BYTES:
        raise ToolProblem(f"The tools have {size:,} bytes as JSON; at most {MOST_BYTES:,} are accepted.")
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        name = tool.name
        plain = name.isascii() and all(sign.isalnum() or sign in _PUNCTUATION for sign in name)
        if not (plain and 0 < len(name) <= NAME_CHARACTERS):
            sentence = (
                f"The name {name[:80]!r} is none for a tool: 1 to {NAME_CHARACTERS} letters, digits, _ and - are."
            )
            raise ToolProblem(sentence, index=index, place="name")
        if name in seen:
            raise ToolProblem(f"Two tools have the name {name!r}.", index=index, place="name")
        seen.add(name)
        if not tool.parameters:
            continue
        if tool.parameters.get("type") != "object":
            kind = tool.parameters.get("type")
            sentence = f"Invalid schema for function {name!r}: its type is {kind!r}, expected 'object'."
            raise ToolProblem(sentence, index=index, place="parameters")
        if problem := check_schema(tool.parameters):
            sentence = f"Invalid schema for function {name!r}: {problem}"
            raise ToolProblem(sentence, index=index, place="parameters")


async def check_names(known: AgentList | None, agent: str, tools: ClientTools | None) -> None:
    """The agent that answers (the default one without a name) must have no tool of such a name; raises Refusal. What it gets from
    the mesh only the worker knows, and ends the run with the same code."""
    if tools is None or known is None:
        return
    try:
        agents = await known.agents()
    except Refusal:
        return
    own = next((one.tools for one in agents if one.name == agent or not agent), ())
    taken = next((name for name in own if name in tools.names), None)
    if taken is not None:
        raise Refusal(
            Code.TOOL_NAME_TAKEN,
            f"The agent has a tool {taken!r} of its own. Give yours another name; nothing was started.",
        )
