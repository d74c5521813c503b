"""A backup is restored later than it was made, and elsewhere: messages have expired, the broker is not the one it was."""

import asyncio
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.jetstream import connect
from bus.jetstream.administration import administration
from contracts import topology
from contracts.ids import RUN, THREAD, new_id
from contracts.subjects import run_subject
from everthread.archive import FORMAT, Manifest, Part, write_manifest
from everthread.backup import copy_streams
from everthread.errors import RefusedError
from everthread.restore import put_streams
from everthread.telling import Telling

from tests.mesh import COMMAND
from tests.servers import NatsServer

RUNS = topology.RUNS.name
KEPT = 3


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.stop()


def manifest_of(streams: list[Part]) -> Manifest:
    return Manifest(
        format=FORMAT,
        created_at="2026-11-20T00:00:00+00:00",
        version="0.1.0",
        nats_version="2.12.0",
        database="everthread",
        snapshot=True,
        collections=[],
        streams=streams,
    )


async def left(url: str) -> int:
    async with administration(url, name="look") as broker:
        return int((await broker.streams())[RUNS]["state"]["messages"])


async def test_what_has_expired_since_the_backup_does_not_hinder_the_restore(nats: NatsServer, tmp_path: Path) -> None:
    admin = nats.url("admin")
    bus = await connect(admin, instance="writer")
    await bus.reconcile(replicas=1)
    subject = run_subject(new_id(THREAD), new_id(RUN), "event")
    for number in range(KEPT):
        await bus.publish(subject, b"kept", message_id=f"kept-{number}")
    # As a claim that was released: the last of the stream, and of no use for long.
    await bus.publish(subject, b"short", message_id="short", headers={"Nats-TTL": "1s"})
    _, streams = await copy_streams(admin, tmp_path, Telling())
    await bus.drain()
    (runs,) = (part for part in streams if part.name == RUNS)
    assert runs.count == KEPT + 1
    while await left(admin) > KEPT:
        await asyncio.sleep(0.1)
    async with administration(admin, name="away") as broker:
        for name in await broker.streams():
            await broker.delete_stream(name)

    assert await put_streams(admin, tmp_path, manifest_of(streams), Telling()) == 1

    async with administration(admin, name="look") as broker:
        found = await broker.streams()
    assert {name: info["state"]["last_seq"] for name, info in found.items()} == {
        part.name: part.about["state"]["last_seq"] for part in streams
    }
    assert found[RUNS]["state"]["messages"] == KEPT


async def test_what_cannot_have_expired_must_be_there(nats: NatsServer, tmp_path: Path) -> None:
    admin = nats.url("admin")
    bus = await connect(admin, instance="writer")
    await bus.reconcile(replicas=1)
    await bus.drain()
    _, streams = await copy_streams(admin, tmp_path, Telling())
    (commands,) = (part for part in streams if part.name == topology.COMMANDS.name)
    assert not topology.COMMANDS.max_age
    commands.about["state"]["messages"] += 1
    with pytest.raises(RefusedError, match=r"stream COMMANDS has .*'messages': 0.* the backup .*'messages': 1"):
        await put_streams(admin, tmp_path, manifest_of(streams), Telling())


async def test_a_backup_of_a_cluster_is_refused_by_one_server_before_anything_is_touched(
    nats: NatsServer, tmp_path: Path
) -> None:
    (tmp_path / "none").touch()
    nothing = hashlib.sha256().hexdigest()
    part = Part(name=RUNS, file="none", count=0, bytes=0, sha256=nothing, about={"config": {"num_replicas": 3}})
    manifest = manifest_of([part])
    with pytest.raises(RefusedError, match="one server alone does not take"):
        await put_streams(nats.url("admin"), tmp_path, manifest, Telling())
    write_manifest(tmp_path, manifest)
    home = tmp_path / "home"
    refused = subprocess.run(
        [COMMAND, "restore", str(tmp_path), "--home", str(home)], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "one server alone does not take" in refused.stderr
    assert not home.exists()
