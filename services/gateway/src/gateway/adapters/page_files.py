"""The built page, from its folder: `ports.PageFiles`."""

import hashlib
import mimetypes
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from gateway.ports import PageFile

logger = structlog.get_logger()

INDEX: Final = "index.html"
LOOK_SECONDS: Final = 1.0
"""How often at most it is looked whether the page was built anew."""
MAX_BYTES: Final = 32 * 1024 * 1024
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


class PageFolder:
    """Holds the folder's files in memory (some hundred kilobytes), so that no path from outside ever reaches the disk. The
    folder may be filled, or filled anew, while this process runs."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder: Final = folder
        self._clock: Final = clock
        self._files: Mapping[str, PageFile] = {}
        self._read_of: tuple[int, int] | None = None
        self._looked_at: float | None = None

    def find(self, name: str) -> PageFile | None:
        """See ports.PageFiles."""
        self._look()
        return self._files.get(name)

    def _look(self) -> None:
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            found = (self._folder / INDEX).stat()
            mark = (found.st_mtime_ns, found.st_ino)
            if mark == self._read_of:
                return
            # What an open tab still asks for (the parts of the page before this one) stays until this process ends.
            self._files = {**self._files, **_read(self._folder)}
            self._read_of = mark
            logger.info("page.read", folder=str(self._folder), files=len(self._files))
        except FileNotFoundError:
            return
        except OSError as error:
            logger.warning("page.unreadable", folder=str(self._folder), error=str(error))


def _read(folder: Path) -> dict[str, PageFile]:
    bodies: dict[str, bytes] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            body = path.read_bytes()
            size += len(body)
            if size > MAX_BYTES:
                raise OSError(f"the page is larger than {MAX_BYTES} bytes; is this the right folder?")
            bodies[path.relative_to(folder).as_posix()] = body
    files = {}
    for name, body in bodies.items():
        if name.endswith(tuple(ending for _, ending in _ENCODINGS)):
            continue
        encoded = {coding: bodies[name + ending] for coding, ending in _ENCODINGS if name + ending in bodies}
        media = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        charset = "; charset=utf-8" if media.startswith("text/") else ""
        tag = hashlib.sha256(body).hexdigest()[:20]
        files[name] = PageFile(body=body, media_type=media + charset, etag=tag, encoded=encoded)
    return files
