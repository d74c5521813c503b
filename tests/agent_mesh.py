"""A whole mesh of two gateways and two workers with agents of the test's own, asked of a scripted upstream with exact prices."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests import mesh as mesh_module
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

MODELS = """
[providers.openai]
base_url_env = "OPENAI_BASE_URL"
api_key_env = "OPENAI_API_KEY"

[models."openai:gpt-4o-mini"]
context_window = 128000
input = 1.0
cached_input = 0.5
output = 2.0
continuation = "retract"
tools = true
"""
CLOSER = """
name = "closer"
description = "Ends what others began."
system_prompt = "End it."
model = "openai:gpt-4o-mini"
"""


@contextmanager
def agent_mesh(home: Path, agents: Mapping[str, str]) -> Iterator[Mesh]:
    """Runs until the context ends. `agents`: the text of each file by the agent's name; `closer` is there besides."""
    (home / "models.toml").write_text(MODELS, "utf-8")
    folder = home / "agents"
    folder.mkdir()
    for name, text in {"closer": CLOSER, **agents}.items():
        (folder / f"{name}.toml").write_text(text, "utf-8")
    with UpstreamProcess() as upstream:
        mesh = mesh_module.start(
            home,
            scale="gateway=2,inference=2",
            gateways=2,
            environment={
                "OPENAI_BASE_URL": upstream.base_url,
                "OPENAI_API_KEY": "sk-canary-0123456789",
                "EVERTHREAD_MODELS_FILE": str(home / "models.toml"),
                "EVERTHREAD_AGENTS_FOLDER": str(folder),
            },
        )
        try:
            yield mesh
        finally:
            mesh.stop()
