"""Each file of examples/ as a reader runs it: an address, a token, a question; the last line is the stored answer."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.node import HERE, install
from tests.mesh import ROOT, Mesh, messages
from tests.upstream import expected_text

EXAMPLES = ROOT / "examples"
SCRIPTS = ["openai_sdk.py", "curl_walk.sh", "usechat.mjs", "agui.mjs"]
FOR_SERVICES = {"nats_publisher.py", "mesh_tool.py"}
"""Run by test_service_examples.py."""


@pytest.mark.parametrize("script", SCRIPTS)
async def test_an_example_ends_with_the_stored_answer(mesh: Mesh, tmp_path: Path, script: str) -> None:
    # Node looks for packages beside the file; the tests' own stand there for what a reader installs.
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    shutil.copy(EXAMPLES / script, tmp_path / script)
    environment = dict(os.environ)
    program = {".py": sys.executable, ".sh": "sh"}.get(Path(script).suffix, "")
    if not program:
        node = await asyncio.to_thread(install)
        program, environment = str(node.path), node.environment
    question = f"tokens=60 rate=60 seed={SCRIPTS.index(script) + 1}"
    process = await asyncio.create_subprocess_exec(
        program,
        script,
        question,
        cwd=tmp_path,
        env=environment | {"EVERTHREAD_URL": mesh.urls[0], "EVERTHREAD_TOKEN": mesh.token("reader")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode() + output.decode()
    said = output.decode().splitlines()
    assert any(line.startswith(("left ", "reloaded ")) for line in said), said
    assert said[-1].rstrip() == expected_text(question).rstrip()
    async with mesh.client(1, user="reader") as client:
        newest = (await client.get("/v1/threads", params={"limit": 1})).json()["items"][0]
        items = await messages(client, newest["id"])
    assert [item["content"] for item in items] == [question, expected_text(question)]


def test_every_example_is_run_and_names_the_versions_that_are_tested() -> None:
    found = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh", ".mjs")}
    assert found == set(SCRIPTS) | FOR_SERVICES
    tested = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    named = json.loads((EXAMPLES / "package.json").read_text("utf-8"))["dependencies"]
    assert named.items() <= tested.items()
