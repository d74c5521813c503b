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
            expired = put_back(given, source, manifest, telling)
        else:
            _check_alone(manifest)
            _check_empty(home)
            with at_rest(home) as found:
                expired = put_back(found, source, manifest, telling)
    documents, messages = (sum(part.count for part in parts) for parts in (manifest.collections, manifest.streams))
    print(
        f"restored {documents} documents and {messages} messages of {manifest.created_at}, each file as it was written"
    )
    if expired:
        print(f"{expired} of the messages had expired since then, and the server has dropped them")
    return 0


def _check_alone(manifest: Manifest) -> None:
    """Whether one server alone can take it: what a consumer was told is in the server's own format, and stays as it is."""
    copies = max((int(part.about["config"].get("num_replicas", 1)) for part in manifest.streams), default=1)
    if copies > 1:
        raise RefusedError(
            f"the backup is of a NATS cluster: its streams and consumers have {copies} copies each, which one server alone does "
            "not take; restore it into a cluster with --nats-url and --mongodb-uri (deploy/compose.yaml has one on one machine)"
        )


def _check_empty(home: Home) -> None:
    if running(home) is not None:
        raise RefusedError(f"everthread runs on {home.root}; stop it, and restore into another folder with --home")
    filled = [folder for folder in (home.nats / "jetstream", home.mongo) if folder.is_dir() and any(folder.iterdir())]
    if filled:
        raise RefusedError(
            f"{filled[0]} holds data, and a restore overwrites nothing; name an empty folder with --home"
        )


def put_back(found: Reach, source: Path, manifest: Manifest, telling: Telling) -> int:
    """Everything, into servers that hold nothing; how many messages had expired meanwhile. Raises RefusedError; what was
    restored by then stays and is in the way."""
    with database_copy.opened(found.mongodb_uri) as database:
        for name in database_copy.collections(database):
            if database[name].find_one({}) is not None:
                raise RefusedError(
                    f"collection {name} of database {database.name} holds documents, and a restore overwrites nothing; "
                    "drop the database, or name another"
                )
        try:
            expired = asyncio.run(put_streams(found.nats_url, source, manifest, telling))
        except BusError as error:
            raise RefusedError(f"{error}; the streams are restored in part: delete them before the next try") from None
        for part in manifest.collections:
            with telling.step(f"collection {part.name}", part.count) as advance:
                database_copy.restore_collection(database, part, source, advance)
    return expired


async def put_streams(nats_url: str, source: Path, manifest: Manifest, telling: Telling) -> int:
    """The streams with their consumers, where none holds a message; how many messages had expired meanwhile. Raises RefusedError,
    BusError."""
    expired = 0
    async with administration(nats_url, name="everthread-restore") as broker:
        if not broker.in_cluster:
            _check_alone(manifest)
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
                expired += await _put_stream(broker, source, part, advance)
        # MongoDB was copied before the streams: let conversation hear every result again, which changes nothing it has.
        await broker.delete_consumer(topology.RECORD.stream, topology.RECORD.name)
    return expired


async def _put_stream(broker: Administration, source: Path, part: Part, advance: Callable[[int], None]) -> int:
    async def pieces() -> AsyncIterator[bytes]:
        with (source / part.file).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
                advance(len(piece))

    info = await broker.copy_in(part.about, pieces())
    wanted, got = (
        {name: state[name] for name in ("messages", "last_seq")} for state in (part.about["state"], info["state"])
    )
    expired: int = wanted["messages"] - got["messages"]
    # The archive is whole, by its checksum; what had its time meanwhile the server drops while it takes it.
    config = part.about["config"]
    may_expire = bool(config.get("max_age") or config.get("allow_msg_ttl"))
    if got["last_seq"] != wanted["last_seq"] or expired < 0 or (expired and not may_expire):
        raise RefusedError(f"stream {part.name} has {got} after the restore, the backup {wanted}")
    return expired
