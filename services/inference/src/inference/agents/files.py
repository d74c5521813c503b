"""Where agents' files are: in the package, and in a folder of the operator's."""

from importlib.resources import files
from pathlib import Path

from inference.agents.domain.checked_table import AgentConfigError


def agent_files(folder: Path | None = None) -> dict[str, str]:
    """File name to text: the packaged agents, and those of `folder`, of which a file takes the place of the packaged one with
    the same name. Raises AgentConfigError where the folder cannot be read."""
    found = {
        entry.name: entry.read_text("utf-8")
        for entry in sorted(files("inference.agents").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }
    if folder is None:
        return found
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
        return found | {path.name: path.read_text("utf-8") for path in paths}
    except (OSError, UnicodeDecodeError) as error:
        raise AgentConfigError([f"The agents in {folder} cannot be read: {error}."]) from error
