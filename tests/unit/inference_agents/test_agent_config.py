"""Agents' files: what is packaged, and what each mistake is answered with."""

from pathlib import Path

import pytest
from inference.agents.domain.checked_table import AgentConfigError
from inference.agents.domain.config import AgentConfig, Agents, McpServer, as_data, read_agents
from inference.agents.files import agent_files

DEFAULT = 'name = "default"\n'


def read(text: str, models: set[str] | None = None, other: str = 'name = "other"') -> Agents:
    return read_agents({"default.toml": DEFAULT, "a.toml": text, "b.toml": other}, models=models)


def problems(text: str, other: str = 'name = "other"') -> list[str]:
    with pytest.raises(AgentConfigError) as caught:
        read(text, {"openai:gpt-4o-mini"}, other)
    return caught.value.sentences


def test_the_packaged_agents() -> None:
    agents = read_agents(agent_files())
    assert set(agents.by_name) == {"default", "researcher", "writer"}
    assert agents.find("") is agents.default
    assert agents.find("nobody") is None
    researcher = agents.by_name["researcher"]
    assert {"document_search", "ask_user"} <= set(researcher.tools)
    assert researcher.hand_off == ("writer",)
    assert "$" not in researcher.prompt({"date": "2026-11-21"})
    assert "2026-11-21" in researcher.prompt({"date": "2026-11-21"})
    assert as_data(researcher)["name"] == "researcher"


def test_a_folder_of_the_operators(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('name = "default"\ndescription = "ours"\n')
    (tmp_path / "extra.toml").write_text('name = "extra"\n')
    (tmp_path / "notes.txt").write_text("no agent")
    agents = read_agents(agent_files(tmp_path))
    assert agents.default.description == "ours"
    assert "extra" in agents.by_name
    with pytest.raises(AgentConfigError, match="cannot be read"):
        agent_files(tmp_path / "nowhere")


def test_all_of_one() -> None:
    agent = read(
        """
        name = "full"
        description = "d"
        model = "openai:gpt-4o-mini"
        fallbacks = ["openai:gpt-4o-mini"]
        system_prompt = "You are $agent; it costs $$5, $user_name."
        tools = ["time", "mesh:orders_*", "mcp:*"]
        hand_off = ["default"]
        [limits]
        steps = 3
        seconds = 1.5
        tokens = 1000
        cost_microusd = 7
        [retrieval]
        enabled = true
        top_k = 9
        corpora = ["user", "shared-handbook"]
        [mcp.files]
        command = "mcp-files"
        args = ["--read-only"]
        environment = ["FILES_ROOT"]
        [mcp.web]
        url = "https://mcp.example.org/mcp"
        headers = { authorization = "WEB_TOKEN" }
        trusted = true
        """,
        models={"openai:gpt-4o-mini"},
    ).by_name["full"]
    assert isinstance(agent, AgentConfig)
    assert agent.prompt({"user_name": "Ada"}) == "You are full; it costs $5, Ada."
    assert (agent.limits.steps, agent.limits.cost_microusd, agent.retrieval.top_k) == (3, 7, 9)
    assert agent.mcp_servers[0] == McpServer(
        name="files", command="mcp-files", args=("--read-only",), environment=("FILES_ROOT",)
    )
    assert agent.mcp_servers[1].headers == {"authorization": "WEB_TOKEN"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "A b"', "a.toml: name is 'A b', expected 1 to 40 of a-z, 0-9, _ and -."),
        ("", "a.toml: name is missing, expected 1 to 40 of a-z, 0-9, _ and -."),
        ("name = 3", "a.toml: name is 3, expected 1 to 40 of a-z, 0-9, _ and -."),
        ('name = "x"\nmodel = "gpt"', "a.toml: model is 'gpt', expected a model of the registry: openai:gpt-4o-mini."),
        ('name = "x"\nfallbacks = "gpt"', "a.toml: fallbacks is 'gpt', expected a list of texts."),
        ('name = "x"\n[limits]\nsteps = 0', "a.toml: limits.steps is 0, expected a whole number from 1 to 1000."),
        ('name = "x"\n[limits]\nsteps = true', "a.toml: limits.steps is True, expected a whole number from 1 to 1000."),
        ('name = "x"\n[limits]\nstep = 1', "a.toml: limits.step is set, but nothing reads it; did you mean steps?"),
        ('name = "x"\nlimits = 3', "a.toml: limits is 3, expected a table: [limits]."),
        ('name = "x"\ntool = ["time"]', "a.toml: tool is set, but nothing reads it; did you mean tools?"),
        ('name = "x"\nhand_off = ["y"]', "a.toml: hand_off has 'y', expected one of: default, other."),
        ('name = "x"\nhand_off = ["x"]', "a.toml: hand_off has 'x', expected one of: default, other."),
        (
            'name = "x"\nsystem_prompt = "hi $name"',
            "a.toml: system_prompt is 'hi $name', expected only the variables $agent, $date, $language, $user_name "
            "(write $$ for the sign itself).",
        ),
        (
            'name = "x"\nsystem_prompt = "costs 5 $"',
            "a.toml: system_prompt is 'costs 5 $', expected a text in which $ is followed by a variable; write $$ for the "
            "sign itself.",
        ),
        (
            'name = "x"\n[retrieval]\ncorpora = ["usr_01ARZ3NDEKTSV4RRFFQ69G5FAV"]',
            "a.toml: retrieval.corpora is 'usr_01ARZ3NDEKTSV4RRFFQ69G5FAV', expected user, or shared- and a name of a-z, "
            "0-9 and -.",
        ),
        (
            'name = "x"\ntools = ["web:all"]',
            "a.toml: tools is 'web:all', expected a tool's name, or mesh: or mcp: and a name; * and ? stand for any letters.",
        ),
        ('name = "x"\n[mcp.a]', "a.toml: mcp.a.command is '', expected either command or url."),
        (
            'name = "x"\n[mcp.a]\nurl = "ftp://x"',
            "a.toml: mcp.a.url is 'ftp://x', expected an http:// or https:// address.",
        ),
        ('name = "default"', "a.toml: name is 'default', which default.toml has already."),
    ],
)
def test_a_mistake_names_file_key_value_and_what_was_expected(text: str, sentence: str) -> None:
    assert sentence in problems(text)


def test_all_mistakes_are_told_at_once() -> None:
    found = problems('name = "x"\nmodel = 3\n[limits]\nsteps = "many"', "no toml =")
    assert len(found) == 3
    assert (
        found[-1].startswith("b.toml is no TOML") or found[0].startswith("b.toml is no TOML") or "b.toml" in str(found)
    )


def test_one_name_one_server() -> None:
    first = 'name = "x"\n[mcp.files]\ncommand = "one"'
    second = 'name = "y"\n[mcp.files]\ncommand = "two"'
    assert "mcp.files differs from the one in a.toml" in problems(first, second)[0]
    same = read(first, other=second.replace("two", "one"))
    assert set(same.mcp_servers) == {"files"}


def test_there_must_be_a_default() -> None:
    with pytest.raises(AgentConfigError, match="No file has the agent 'default'"):
        read_agents({"a.toml": 'name = "a"'})
