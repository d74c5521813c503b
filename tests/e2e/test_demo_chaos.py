"""`everthread demo chaos` on a mesh that runs: processes die, every answer is whole, and it says so."""

import asyncio
import re

import pytest

from tests.mesh import Mesh


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_answer_is_whole_while_processes_are_killed(mesh: Mesh) -> None:
    before = {name: part["pid"] for name, part in mesh.ps().items()}
    result = mesh.command(
        "demo", "chaos", "--text", "tokens=90 rate=30", "--runs", "2", "--kills", "2", "--seed", "7", timeout=200
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"
    killed = re.search(r"^SOUND: (\d) processes killed, 2 answers", result.stdout, re.MULTILINE)
    assert killed, result.stdout
    assert 1 <= int(killed[1]) == result.stdout.count("SIGKILL for") <= 2
    rows = [line.split() for line in result.stdout.splitlines() if "complete" in line]
    assert [(row[6], row[7], row[8]) for row in rows] == [("0", "0", "yes")] * 2
    # The state of the mesh's own database and supervisor is as it was: only what was allowed has died.
    assert mesh.ps()["mongo"]["pid"] == before["mongo"]
    asyncio.run(mesh.wait_ready())


def test_where_nothing_runs_nothing_is_killed(mesh: Mesh) -> None:
    elsewhere = Mesh(mesh.home / "elsewhere", mesh.environment, 0, 0, mesh.process)
    result = elsewhere.command("demo", "chaos")
    assert result.returncode == 1
    assert "nothing runs in" in result.stderr
