"""A backup as a folder: `manifest.json`, and one file per collection and per stream with its checksum in the manifest."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from everthread.errors import RefusedError, explain_os_error
from everthread.home import write_private

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_READ_BYTES: Final = 1024 * 1024


@dataclass(kw_only=True)
class Part:
    """One file of a backup: `name` of the collection or stream, `count` of documents or messages, `about` to restore it."""

    name: str
    file: str
    count: int
    bytes: int
    sha256: str
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Manifest:
    """What a backup holds. Times in RFC 3339."""

    format: int
    created_at: str
    version: str
    nats_version: str
    database: str
    snapshot: bool
    collections: list[Part]
    streams: list[Part]


class Sink:
    """A file of a backup while it is written, readable by its owner only."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()


@contextmanager
def writing(folder: Path, file: str) -> Iterator[Sink]:
    """Write one file of a backup; on disk when this ends."""
    path = folder / file
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        yield Sink(opened)
        opened.flush()
        os.fsync(opened.fileno())


@contextmanager
def new_backup(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` only when all has gone well. Raises RefusedError."""
    if target.exists():
        raise RefusedError(f"{target} is there already; name a folder that is not")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(mode=0o700, parents=True)
        try:
            yield partial
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise RefusedError(explain_os_error(error, target)) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file: a backup without one is not whole."""
    write_private(folder / MANIFEST, json.dumps(asdict(manifest), indent=1))


def read_manifest(folder: Path) -> Manifest:
    """What a backup says it holds. Raises RefusedError."""
    try:
        data = json.loads((folder / MANIFEST).read_text("utf-8"))
        if data["format"] != FORMAT:
            raise RefusedError(f"{folder} has format {data['format']}, and this version reads {FORMAT}")
        collections, streams = ([Part(**part) for part in data.pop(name)] for name in ("collections", "streams"))
        return Manifest(**data, collections=collections, streams=streams)
    except OSError as error:
        raise RefusedError(f"{folder} is no backup: {MANIFEST}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise RefusedError(f"{folder} is no backup: its {MANIFEST} cannot be read") from None


def check_whole(folder: Path, part: Part) -> None:
    """The file is there, as it was written. Raises RefusedError."""
    found = hashlib.sha256()
    try:
        with (folder / part.file).open("rb") as file:
            while data := file.read(_READ_BYTES):
                found.update(data)
    except OSError as error:
        raise RefusedError(f"{folder / part.file}: {error.strerror}; the backup is not whole") from None
    if found.hexdigest() != part.sha256:
        raise RefusedError(
            f"{folder / part.file} is not as it was written; the backup is damaged, nothing was restored"
        )
