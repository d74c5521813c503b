"""Every alert and every procedure has a page, and its commands are there."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from everthread.commands import app
from everthread.operations_commands import app as operations
from typer.main import get_command

ROOT: Final = Path(__file__).resolve().parents[2]
APPS: Final = (app, operations)
ALERTS = [
    (group.name, rule)
    for group in sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
    for part in yaml.safe_load(group.read_text("utf-8"))["groups"]
    for rule in part["rules"]
    if "alert" in rule
]


@pytest.mark.parametrize(("file", "rule"), ALERTS, ids=[rule["alert"] for _, rule in ALERTS])
def test_every_alert_has_a_runbook_that_names_it(file: str, rule: dict[str, Any]) -> None:
    page = ROOT / rule["annotations"]["runbook"]
    text = page.read_text("utf-8")
    assert f"`{rule['alert']}`" in text, f"{page.name} does not name {rule['alert']} of {file}"
    for part in ("## What it means", "## Where to look", "## What to do"):
        assert part in text, f"{page.name} lacks {part!r}"


PROCEDURES = (
    "upgrade",
    "rollback",
    "disk-full",
    "quorum-lost",
    "provider-outage",
    "key-rotation",
    "restoring-a-thread",
    "removing-the-legacy-path",
)


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_procedure_has_a_runbook_of_four_parts(name: str) -> None:
    text = (ROOT / f"docs/runbooks/{name}.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:4] == ["When", "What is certain", "Commands", "Verification"]
    assert "Tried:" in text, f"{name}.md does not say what was tried for real"


def test_the_commands_of_runbooks_are_there() -> None:
    """`everthread …`, `task …`: a runbook that names what is gone costs its reader the worst minute."""
    commands = {name for app in APPS for name in getattr(get_command(app), "commands", {})}
    tasks = yaml.safe_load((ROOT / "Taskfile.yml").read_text("utf-8"))["tasks"]
    for page in sorted((ROOT / "docs/runbooks").glob("*.md")):
        text = page.read_text("utf-8")
        for name in re.findall(r"(?:^|`|run )everthread ([a-z-]+)", text, re.MULTILINE):
            assert name in commands | {"dead-letters", "rollout", "topology"}, f"{page.name}: everthread {name}"
        for name in re.findall(r"`(?:uv run )?task ([a-z:-]+)", text):
            assert name in tasks, f"{page.name}: task {name}"
