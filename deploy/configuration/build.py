"""Write docs/configuration.md from the services' settings.py. `--check` only says whether it is current.

A setting has one place, its field; this page is a reading of it.
"""

import importlib
import json
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from runtime.settings import EXIT_CONFIGURATION, ServiceSettings, variables_of

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/configuration.md"
SERVICES: Final = ("gateway", "conversation", "inference", "notifier")
HEAD: Final = f"""# Configuration

Written by `task docs:configuration` from the services' settings.py; do not edit it by hand.

Every process reads its settings from the environment, all of them before it does anything else. A wrong or missing one, and
an EVERTHREAD_ variable that nothing reads, is told in a sentence on standard error, and the process ends with exit code
{EXIT_CONFIGURATION}; starting it again changes nothing. An empty variable counts as unset. Values are never printed.
"""


def settings_of(service: str) -> type[ServiceSettings]:
    """The one settings class in `<service>/settings.py`."""
    module = importlib.import_module(f"{service}.settings")
    (found,) = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    }
    return found


def provider_variables() -> dict[str, str]:
    """The variables that the packaged models.toml names, with what each is for."""
    found: dict[str, str] = {}
    providers: dict[str, dict[str, Any]] = tomllib.loads(files("contracts").joinpath("models.toml").read_text("utf-8"))[
        "providers"
    ]
    for name, entry in providers.items():
        if entry.get("base_url_env"):
            fallback = f"; without it {entry['base_url']}" if entry.get("base_url") else "; without it, not offered"
            found[entry["base_url_env"]] = f"Base address of the provider `{name}`{fallback}."
        if entry.get("api_key_env"):
            found[entry["api_key_env"]] = f"Key of the provider `{name}`. A secret; only inference uses it."
    return found


def page() -> str:
    """The whole page."""
    shared = variables_of(ServiceSettings)
    parts = [HEAD, "## Every service\n", _table(shared)]
    for service in SERVICES:
        own = {name: field for name, field in variables_of(settings_of(service)).items() if name not in shared}
        parts += [f"## {service}\n", _table(own)]
    parts += [
        "## Model providers\n",
        "Named by models.toml (`EVERTHREAD_MODELS_FILE` replaces the packaged one) and read wherever the registry is.\n",
        "\n".join(
            ["| variable | meaning |", "|---|---|", *(f"| `{n}` | {m} |" for n, m in provider_variables().items())]
        ),
        "",
        "## The command `everthread`\n",
        "| variable | meaning |\n|---|---|\n| `EVERTHREAD_HOME` | Where the command keeps its data and its children's logs. |\n",
    ]
    return "\n".join(parts)


def _table(variables: dict[str, FieldInfo]) -> str:
    lines = ["| variable | value | default | meaning |", "|---|---|---|---|"]
    for name, field in sorted(variables.items()):
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name}` | {_value(field)} | {_default(field)} | {meaning} |")
    return "\n".join([*lines, ""])


def _value(field: FieldInfo) -> str:
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
    words = {int: "whole number", float: "number", bool: "`true` or `false`", str: "text", Path: "path of a file"}
    text = " or ".join(words[kind] for kind in kinds)
    signs = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    limits = [
        f"{sign} {getattr(limit, kind.__name__.lower()):g}"
        for limit in field.metadata
        for kind, sign in signs.items()
        if isinstance(limit, kind)
    ]
    secret = [] if field.repr else ["secret"]
    return ", ".join([text, *limits, *secret])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    if field.default_factory is not None:
        return "the machine's name"
    if field.default is None or field.default == "":
        return "unset"
    return f"`{field.default if isinstance(field.default, str) else json.dumps(field.default)}`"


def main() -> None:
    """Write, or with `--check` compare."""
    wanted = page()
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, "utf-8")
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != wanted:
        raise SystemExit("docs/configuration.md is not what settings.py say: run `task docs:configuration`")


if __name__ == "__main__":
    main()
