"""`everthread backup`: MongoDB, then every stream, into a folder.

In this order, since what was accepted before the streams were copied is then in both, and what the streams know more than
MongoDB is recorded again after a restore: recording is idempotent.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bus.errors import BusError
from bus.jetstream.administration import Administration, administration

from everthread import archive, database_copy
from everthread.archive import Manifest, Part
from everthread.errors import RefusedError
from everthread.home import Home
from everthread.reach import Reach, reach
from everthread.telling import Telling, only_errors

FORGETFUL: Final = "memory"
"""The storage of streams that hold nothing worth keeping: what is in them expires within minutes."""


def run_backup(home: Home, target: Path, *, nats_url: str | None, mongodb_uri: str | None) -> int:
    """Write the backup and say what is in it; returns the exit code. Raises RefusedError, and then there is no folder."""
    only_errors()
    target = target.absolute()
    with reach(home, nats_url, mongodb_uri) as found, archive.new_backup(target) as folder:
        manifest = back_up(found, folder, Telling())
    documents, messages = (sum(part.count for part in parts) for parts in (manifest.collections, manifest.streams))
    size = sum(part.bytes for part in (*manifest.collections, *manifest.streams))
    print(
        f"{target}: {documents} documents in {len(manifest.collections)} collections, {messages} messages in "
        f"{len(manifest.streams)} streams, {size / 2**20:.1f} MiB"
    )
    if found.running and not manifest.snapshot:
        print(
            "The database could not be read as of one moment; stop `everthread up` before a backup that must be exact."
        )
    return 0


def back_up(found: Reach, folder: Path, telling: Telling) -> Manifest:
    """Everything into `folder`. Raises RefusedError, OSError."""
    with telling.shown(), database_copy.opened(found.mongodb_uri) as database:
        collections = []
        with database_copy.as_of_now(database) as (session, snapshot):
            for name in database_copy.collections(database):
                with telling.step(f"collection {name}", database[name].estimated_document_count()) as advance:
                    collections.append(database_copy.copy_collection(database, name, session, folder, advance))
        try:
            nats_version, streams = asyncio.run(copy_streams(found.nats_url, folder, telling))
        except BusError as error:
            raise RefusedError(f"{error}; no backup was made") from None
        manifest = Manifest(
            format=archive.FORMAT,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=version("everthread"),
            nats_version=nats_version,
            database=database.name,
            snapshot=snapshot,
            collections=collections,
            streams=streams,
        )
    archive.write_manifest(folder, manifest)
    return manifest


async def copy_streams(nats_url: str, folder: Path, telling: Telling) -> tuple[str, list[Part]]:
    """Every stream that is worth keeping, into `folder`; the server's version with them. Raises BusError."""
    async with administration(nats_url, name="everthread-backup") as broker:
        parts = []
        for name, info in (await broker.streams()).items():
            if info["config"].get("storage") != FORGETFUL:
                with telling.step(f"stream {name}", int(info["state"]["bytes"])) as advance:
                    parts.append(await _copy_stream(broker, name, folder, advance))
        return broker.server_version, parts


async def _copy_stream(broker: Administration, name: str, folder: Path, advance: Callable[[int], None]) -> Part:
    described, pieces = await broker.copy_out(name)
    file = f"streams/{name}.snapshot"
    with archive.writing(folder, file) as sink:
        async for piece in pieces:
            sink.write(piece)
            advance(len(piece))
    count = int(described["state"]["messages"])
    return Part(name=name, file=file, count=count, bytes=sink.bytes, sha256=sink.sha256, about=described)
