"""An agent as configured, read from the text of one TOML file per agent."""

import string
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.ids import InvalidIdError, check_corpus

from inference.agents.domain.checked_table import AgentConfigError, CheckedTable

DEFAULT_AGENT: Final = "default"
OWN_CORPUS: Final = "user"
MCP_TIMEOUT: Final = 60.0
MOST_MEMBERS: Final = 8
PROMPT_VARIABLES: Final = frozenset({"agent", "date", "language", "user_name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a run of this agent ends with `run.failed`. Each agent that acts in a run has its own, and what the run waits
    counts for none. The `seconds` of the agent, or panel, that the run begins with hold for the run as a whole.
    `cost_microusd` None: no limit but the user's budget."""

    steps: int = 20
    seconds: float = 600.0
    tokens: int = 200_000
    cost_microusd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalConfig:
    """Whether passages are put into the context before the first call, how many, from which corpora: `user` is the user's
    own, `shared-<name>` one for everybody."""

    enabled: bool = False
    top_k: int = 5
    corpora: tuple[str, ...] = (OWN_CORPUS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """An MCP server: a `command` with `args` in `folder` (stdio), or a `url` (streamable HTTP). `environment` names the
    variables that the command gets beside the basic ones; `headers` maps a header to the variable that holds its value, so
    that no secret stands in the file. `trusted`: its word that a tool only reads is believed. `approval`: every call of a
    tool that does more needs a person's yes."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    folder: str = ""
    environment: tuple[str, ...] = ()
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False
    approval: bool = True
    timeout: float = MCP_TIMEOUT


@dataclass(frozen=True, slots=True)
class Panel:
    """Agents that answer the same message in one run: one after the other, each hearing those before it, or `at_once`, each
    for itself. Every member has its own steps and limits."""

    members: tuple[str, ...]
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """One agent. `model` empty: the thread's, else the user's, else the registry's. `fallbacks` are tried in order. `tools`
    are patterns: a built-in tool's or function's name, `mesh:…`, `mcp:…`, with `*` and `?`. `hand_off` names the agents it
    may hand over to. With a `panel` it says nothing itself: its members do, and of its limits `seconds` counts."""

    name: str
    description: str
    system_prompt: str
    model: str = ""
    fallbacks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    hand_off: tuple[str, ...] = ()
    limits: Limits = Limits()
    retrieval: RetrievalConfig = RetrievalConfig()
    mcp_servers: tuple[McpServer, ...] = ()
    panel: Panel | None = None

    def prompt(self, values: Mapping[str, str]) -> str:
        """The system prompt with `$date`, `$user_name`, `$language` and `$agent` filled in; what is not known is left empty."""
        known = {name: values.get(name, "") for name in PROMPT_VARIABLES} | {"agent": self.name}
        return string.Template(self.system_prompt).substitute(known).strip()


@dataclass(frozen=True, slots=True)
class Agents:
    """All agents by name; there is always a `default`."""

    by_name: Mapping[str, AgentConfig]

    @property
    def default(self) -> AgentConfig:
        """The agent of a thread that names none."""
        return self.by_name[DEFAULT_AGENT]

    def find(self, name: str) -> AgentConfig | None:
        """The agent, the default for an empty name, None where there is none of that name."""
        return self.by_name.get(name or DEFAULT_AGENT)

    @property
    def mcp_servers(self) -> dict[str, McpServer]:
        """Every MCP server that any agent names."""
        return {server.name: server for agent in self.by_name.values() for server in agent.mcp_servers}


_LIMITS: Final = Limits()
_RETRIEVAL: Final = RetrievalConfig()


def read_agents(files: Mapping[str, str], *, models: Collection[str] | None = None) -> Agents:
    """The agents of `files` (file name to text). `models`: the registry's ids, to check against. Raises AgentConfigError with
    a sentence for each thing that is wrong in any of them."""
    problems: list[str] = []
    agents: dict[str, AgentConfig] = {}
    written_in: dict[str, str] = {}
    for file, text in files.items():
        agent = _read_agent(file, text, models, problems)
        if agent is None:
            continue
        if agent.name in agents:
            problems.append(f"{file}: name is {agent.name!r}, which {written_in[agent.name]} has already.")
            continue
        agents[agent.name], written_in[agent.name] = agent, file
    for agent in agents.values():
        for other in agent.hand_off:
            if other not in agents or other == agent.name:
                expected = ", ".join(sorted(agents.keys() - {agent.name})) or "no other agent exists"
                problems.append(f"{written_in[agent.name]}: hand_off has {other!r}, expected one of: {expected}.")
    _check_panels(agents, written_in, problems)
    _check_servers(agents, written_in, problems)
    if DEFAULT_AGENT not in agents and not problems:
        problems.append(f"No file has the agent {DEFAULT_AGENT!r}.")
    if problems:
        raise AgentConfigError(problems)
    return Agents(agents)


def _check_panels(agents: Mapping[str, AgentConfig], written_in: Mapping[str, str], problems: list[str]) -> None:
    panels = {agent.name for agent in agents.values() if agent.panel is not None}
    alone = ", ".join(sorted(agents.keys() - panels)) or "no other agent exists"
    for agent in agents.values():
        file = written_in[agent.name]
        for other in sorted(panels.intersection(agent.hand_off)):
            problems.append(f"{file}: hand_off has {other!r}, which is a panel, expected one of: {alone}.")
        if agent.panel is None:
            continue
        for member in agent.panel.members:
            if member not in agents or member in panels:
                problems.append(f"{file}: panel.members has {member!r}, expected some of: {alone}.")
        own = ("system_prompt", "model", "fallbacks", "tools", "hand_off", "mcp_servers")
        problems += [
            f"{file}: {key} is set, but the members of a panel have their own." for key in own if getattr(agent, key)
        ]


def _check_servers(agents: Mapping[str, AgentConfig], written_in: Mapping[str, str], problems: list[str]) -> None:
    servers: dict[str, tuple[McpServer, str]] = {}
    for agent in agents.values():
        for server in agent.mcp_servers:
            known, file = servers.setdefault(server.name, (server, written_in[agent.name]))
            if known != server:
                problems.append(
                    f"{written_in[agent.name]}: mcp.{server.name} differs from the one in {file}; the same name means the "
                    "same server, so write it the same or give it another name."
                )


def _read_agent(file: str, text: str, models: Collection[str] | None, problems: list[str]) -> AgentConfig | None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{file} is no TOML: {error}.")
        return None
    before = len(problems)
    top = CheckedTable(file, "", data, problems)
    limits, retrieval, panel = top.table("limits"), top.table("retrieval"), top.table("panel")
    agent = AgentConfig(
        name=top.text("name", form=r"[a-z0-9][a-z0-9_-]{0,39}", expected="1 to 40 of a-z, 0-9, _ and -"),
        description=top.text("description", default=""),
        system_prompt=top.text("system_prompt", default="", check=_prompt_problem),
        model=top.text("model", default="", check=_model_problem(models)),
        fallbacks=top.texts("fallbacks", check=_model_problem(models)),
        tools=top.texts("tools", check=_tool_problem),
        hand_off=top.texts("hand_off"),
        limits=Limits(
            steps=limits.whole("steps", default=_LIMITS.steps, least=1, most=1000),
            seconds=limits.number("seconds", default=_LIMITS.seconds, least=1, most=7 * 24 * 3600),
            tokens=limits.whole("tokens", default=_LIMITS.tokens, least=100, most=100_000_000),
            cost_microusd=limits.whole_or_none("cost_microusd", least=1, most=10**12),
        ),
        retrieval=RetrievalConfig(
            enabled=retrieval.yes_or_no("enabled", default=False),
            top_k=retrieval.whole("top_k", default=_RETRIEVAL.top_k, least=1, most=50),
            corpora=retrieval.texts("corpora", default=(OWN_CORPUS,), check=_corpus_problem),
        ),
        mcp_servers=tuple(_read_server(name, table) for name, table in top.tables("mcp")),
        panel=_read_panel(panel) if "panel" in data else None,
    )
    limits.nothing_else()
    retrieval.nothing_else()
    panel.nothing_else()
    top.nothing_else()
    return agent if len(problems) == before else None


def _read_panel(table: CheckedTable) -> Panel:
    members = table.texts("members")
    if not 2 <= len(members) <= MOST_MEMBERS:
        table.wrong("members", list(members), f"the names of 2 to {MOST_MEMBERS} agents")
    return Panel(members=members, at_once=table.yes_or_no("at_once", default=False))


def _read_server(name: str, table: CheckedTable) -> McpServer:
    server = McpServer(
        name=name,
        command=table.text("command", default=""),
        args=table.texts("args"),
        folder=table.text("folder", default=""),
        environment=table.texts("environment"),
        url=table.text("url", default="", check=_address_problem),
        headers=table.text_pairs("headers"),
        trusted=table.yes_or_no("trusted", default=False),
        approval=table.yes_or_no("approval", default=True),
        timeout=table.number("timeout", default=MCP_TIMEOUT, least=1, most=3600),
    )
    if bool(server.command) == bool(server.url):
        table.wrong("command", server.command, "either command or url")
    table.nothing_else()
    return server


def _prompt_problem(text: str) -> str:
    template = string.Template(text)
    if not template.is_valid():
        return "a text in which $ is followed by a variable; write $$ for the sign itself"
    unknown = set(template.get_identifiers()) - PROMPT_VARIABLES
    names = ", ".join(f"${name}" for name in sorted(PROMPT_VARIABLES))
    return f"only the variables {names} (write $$ for the sign itself)" if unknown else ""


def _model_problem(models: Collection[str] | None) -> Callable[[str], str]:
    def problem(text: str) -> str:
        if not text or models is None or text in models:
            return ""
        return f"a model of the registry: {', '.join(sorted(models))}"

    return problem


def _tool_problem(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if colon and (kind not in ("mesh", "mcp") or not rest):
        return "a tool's name, or mesh: or mcp: and a name; * and ? stand for any letters"
    return "" if text.strip() == text and text else "a name without spaces around it"


def _corpus_problem(text: str) -> str:
    try:
        is_known_form = text == OWN_CORPUS or bool(text.startswith("shared-") and check_corpus(text))
    except InvalidIdError:
        is_known_form = False
    # A user's id here would give one user's documents to everybody who talks to this agent.
    return "" if is_known_form else "user, or shared- and a name of a-z, 0-9 and -"


def _address_problem(text: str) -> str:
    return "" if not text or text.startswith(("http://", "https://")) else "an http:// or https:// address"


def as_data(agent: AgentConfig) -> dict[str, Any]:
    """What clients may know of an agent."""
    return {
        "name": agent.name,
        "description": agent.description,
        "model": agent.model or None,
        "tools": list(agent.tools),
        "hand_off": list(agent.hand_off),
        "panel": list(agent.panel.members) if agent.panel is not None else [],
    }
