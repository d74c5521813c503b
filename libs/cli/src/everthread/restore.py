"""`everthread restore`: a backup into an empty home, or into an empty broker and database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from bus.errors import BusError
from bus.jetstream.administration import Administration, administration
from contracts import topology

from everthread import archive, database_copy
from everthread.archive import Manifest, Part
from everthread.errors import RefusedError
from everthread.home import Home
from everthread.reach import Reach, at_rest, by_addresses, running
from everthread.telling import Telling, only_errors

_PIECE_BYTES: Final = 256 * 1024


def run_restore(home: Home, source: Path, *, nats_url: str | None, mongodb_uri: str | None) -> int:
    """Check the backup, restore it, count again; returns the exit code. Raises RefusedError."""
    only_errors()
    manifest = archive.read_manifest(source)
    telling = Telling()
    with telling.shown():
        for part in (*manifest.collections, *manifest.streams):
            with telling.step(f"checking {part.name}", 1):
                archive.check_whole(source, part)
        given = by_addresses(nats_url, mongodb_uri)
        if given is not None:
            put_back(given, source, manifest, telling)
        else:
            _check_empty(home)
            with at_rest(home) as found:
                put_back(found, source, manifest, telling)
    documents, messages = (sum(part.count for part in parts) for parts in (manifest.collections, manifest.streams))
    print(
        f"restored {documents} documents and {messages} messages of {manifest.created_at}, each file as it was written"
    )
    return 0


def _check_empty(home: Home) -> None:
    if running(home) is not None:
        raise RefusedError(f"everthread runs on {home.root}; stop it, and restore into another folder with --home")
    filled = [folder for folder in (home.nats / "jetstream", home.mongo) if folder.is_dir() and any(folder.iterdir())]
    if filled:
        raise RefusedError(
            f"{filled[0]} holds data, and a restore overwrites nothing; name an empty folder with --home"
        )


def put_back(found: Reach, source: Path, manifest: Manifest, telling: Telling) -> None:
    """Everything, into servers that hold nothing. Raises RefusedError; what was restored by then stays and is in the way."""
    with database_copy.opened(found.mongodb_uri) as database:
        for name in database_copy.collections(database):
            if database[name].find_one({}) is not None:
                raise RefusedError(
                    f"collection {name} of database {database.name} holds documents, and a restore overwrites nothing; "
                    "drop the database, or name another"
                )
        try:
            asyncio.run(_put_streams(found.nats_url, source, manifest, telling))
        except BusError as error:
            raise RefusedError(f"{error}; the streams are restored in part: delete them before the next try") from None
        for part in manifest.collections:
            with telling.step(f"collection {part.name}", part.count) as advance:
                database_copy.restore_collection(database, part, source, advance)


async def _put_streams(nats_url: str, source: Path, manifest: Manifest, telling: Telling) -> None:
    async with administration(nats_url, name="everthread-restore") as broker:
        there = await broker.streams()
        for part in manifest.streams:
            state = there.get(part.name, {}).get("state", {})
            if state.get("messages"):
                raise RefusedError(
                    f"stream {part.name} holds {state['messages']} messages, and a restore overwrites nothing; delete it first"
                )
        for part in manifest.streams:
            if part.name in there:
                # Empty: a service made it already, and the server restores only what is not there.
                await broker.delete_stream(part.name)
            with telling.step(f"stream {part.name}", part.bytes) as advance:
                await _put_stream(broker, source, part, advance)
        # MongoDB was copied before the streams: let conversation hear every result again, which changes nothing it has.
        await broker.delete_consumer(topology.RECORD.stream, topology.RECORD.name)


async def _put_stream(broker: Administration, source: Path, part: Part, advance: Callable[[int], None]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        with (source / part.file).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
                advance(len(piece))

    info = await broker.copy_in(part.about, pieces())
    wanted = {name: part.about["state"][name] for name in ("messages", "last_seq")}
    got = {name: info["state"][name] for name in wanted}
    if got != wanted:
        raise RefusedError(f"stream {part.name} has {got} after the restore, the backup {wanted}")
