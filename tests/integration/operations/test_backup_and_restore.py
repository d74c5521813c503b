"""`everthread backup` from a mesh that runs, `everthread restore` into an empty home, and every thread looked at there."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from everthread.archive import read_manifest
from everthread.database_copy import opened
from everthread.errors import RefusedError
from everthread.home import Home
from everthread.reach import of_mesh, running
from everthread.restore_thread import put_thread_back
from everthread.state import MeshState

from tests import mesh as mesh_module
from tests.mesh import COMMAND, TERMINAL, Mesh, create_thread, messages, send, stored_answer, to_the_end
from tests.upstream import UpstreamProcess

USERS = ("demo", "other")


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as process:
        yield process


def begin(home: Path, upstream: UpstreamProcess) -> Mesh:
    return mesh_module.start(home, environment={"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "sk-test"})


def restore(mesh: Mesh, backup: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "restore", str(backup), "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
        env=mesh.environment,
    )


def damage(backup: Path, copy: Path) -> Path:
    shutil.copytree(backup, copy)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    (part,) = (part for part in manifest["streams"] if part["name"] == "RUNS")
    with (copy / part["file"]).open("r+b") as file:
        file.write(b"x")
    return copy


def loaded(mesh: MeshState | None) -> MeshState:
    assert mesh is not None
    return mesh


async def threads(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.get("/v1/threads", params={"limit": 100})).json()["items"]
    return items


async def everything(mesh: Mesh) -> dict[str, Any]:
    """What each user sees: threads, and the messages of each."""
    found: dict[str, Any] = {}
    for user in USERS:
        async with mesh.client(user=user) as client:
            for thread in await threads(client):
                found[thread["id"]] = {"thread": thread, "messages": await messages(client, thread["id"])}
    return found


async def verified(mesh: Mesh, user: str, run_id: str) -> bool | None:
    async with mesh.client(user=user) as client:
        equal: bool | None = (await client.get(f"/v1/runs/{run_id}/verify")).json()["equal"]
        return equal


@pytest.mark.timeout(300)
async def test_a_backup_restored_into_an_empty_home_has_every_thread(tmp_path: Path, upstream: UpstreamProcess) -> None:
    first = begin(tmp_path / "first", upstream)
    backup = tmp_path / "backup"
    owners: dict[str, str] = {}
    try:
        for user in USERS:
            async with first.client(user=user) as client:
                for number in range(2):
                    thread = await create_thread(client, title=f"{user} {number}", tags=["kept"])
                    for turn in range(2):
                        accepted = await send(client, thread, f"tokens=30 rate=500 seed={turn}")
                        await stored_answer(client, thread, accepted["run_id"])
                        owners[accepted["run_id"]] = user
        async with first.client() as client:
            cancelled = await create_thread(client, title="cancelled")
            accepted = await send(client, cancelled, "tokens=5000 rate=50")
            await asyncio.sleep(0.3)
            await client.post(f"/v1/runs/{accepted['run_id']}/cancel")
            await stored_answer(client, cancelled, accepted["run_id"])
            owners[accepted["run_id"]] = "demo"
            before = await everything(first)
            # This one is being answered while the copy is made.
            open_thread = await create_thread(client, title="open")
            open_run = (await send(client, open_thread, "tokens=400 rate=100"))["run_id"]
            await asyncio.sleep(0.5)
            made = await asyncio.to_thread(first.command, "backup", str(backup))
        assert made.returncode == 0, made.stderr
        same = await asyncio.to_thread(first.command, "topology", "diff")
        assert same.returncode == 0, same.stdout + same.stderr
    finally:
        first.stop()

    second_home = tmp_path / "second"
    damaged = damage(backup, tmp_path / "damaged")
    refused = restore(first, damaged, second_home)
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    assert not second_home.exists(), "nothing is begun with a damaged backup"
    restored = restore(first, backup, second_home)
    assert restored.returncode == 0, restored.stderr
    again = restore(first, backup, second_home)
    assert again.returncode == 1, "a restore overwrites nothing"
    assert again.stderr.startswith("everthread: ")
    assert again.stderr.count("\n") == 1

    second = begin(second_home, upstream)
    try:
        after = await everything(second)
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) == {open_thread}
        one = next(name for name in before if name != cancelled)
        found = of_mesh(Home(second_home), loaded(running(Home(second_home))))
        with pytest.raises(RefusedError, match="is there"):
            put_thread_back(found, backup, read_manifest(backup), one)
        with opened(found.mongodb_uri) as database:
            for name, field in (("threads", "_id"), ("messages", "thread_id"), ("runs", "thread_id")):
                database[name].delete_many({field: one})
        put_thread_back(found, backup, read_manifest(backup), one)
        assert (await everything(second))[one] == before[one]
        for run_id, user in owners.items():
            assert await verified(second, user, run_id) is True, run_id
        async with second.client() as client:
            frames = await to_the_end(client, open_run)
            answer = await stored_answer(client, open_thread, open_run, within=40)
            assert sum(frame.event in TERMINAL for frame in frames) == 1
            assert answer["status"] == "complete"
            shown = await asyncio.to_thread(second.command, "status", "--json")
            assert shown.returncode == 0, shown.stdout + shown.stderr
            assert {section["name"]: section["state"] for section in json.loads(shown.stdout)} == dict.fromkeys(
                ("services", "broker", "lag", "database", "providers", "rollout"), "ok"
            )
            sent = await asyncio.to_thread(
                second.command, "loadtest", "--messages", "6", "--at-once", "2", "--text", "tokens=10"
            )
            assert sent.returncode == 0, sent.stdout + sent.stderr
            assert sent.stdout.startswith("6 sent in ")
            assert " 6 completed " in sent.stdout
            accepted = await send(client, cancelled, "tokens=10")
            assert (await stored_answer(client, cancelled, accepted["run_id"]))["status"] == "complete"
    finally:
        second.stop()
