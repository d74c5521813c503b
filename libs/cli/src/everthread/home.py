"""The home directory: where the mesh on this machine keeps its data, its secrets and what it knows about itself."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from everthread.errors import RefusedError, explain_os_error

DEFAULT_HOME: Final = ".everthread"


class Home:
    """Paths below the home directory. Nothing is created before `prepare`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.state = self.root / "state.json"
        self.lock = self.root / "lock"
        self.logs = self.root / "logs"
        self.nats = self.root / "nats"
        self.mongo = self.root / "mongo"
        self.bytecode = self.root / "bytecode"
        self.secrets = self.root / "secrets.json"
        self.dev_key = self.root / "dev-key.json"
        self.vapid_key = self.root / "vapid-key.pem"
        self.last_run = self.root / "chat.json"
        self.chat_places = self.root / "chat-places.json"

    def prepare(self) -> None:
        """Make the folders, readable by their owner only. Raises RefusedError when they cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for private in (self.logs, self.nats, self.mongo):
                private.mkdir(exist_ok=True)
                private.chmod(0o700)
            probe = self.root / f".writable.{os.getpid()}"
            probe.write_bytes(b"everthread")
            probe.unlink()
        except OSError as error:
            raise RefusedError(explain_os_error(error, self.root)) from None

    def log(self, name: str) -> Path:
        """Where a part's output goes."""
        return self.logs / f"{name}.log"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for one `up`. Raises RefusedError when another holds it."""
        with self.lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                pid = file.read().strip() or "unknown"
                raise RefusedError(
                    f"everthread already runs on {self.root} (pid {pid}); stop that one first, or choose another folder with --home"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def supervisor(self) -> int | None:
        """The pid of the `up` that holds this home now, or None."""
        try:
            with self.lock.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read().strip()
                    return int(text) if text.isdigit() else 0
        except OSError:
            pass
        return None


def resolve_home(option: Path | None) -> Home:
    """The home that --home or EVERTHREAD_HOME names, else `.everthread` in the current directory."""
    return Home((option or Path(DEFAULT_HOME)).expanduser())


def write_private(path: Path, text: str, *, sync: bool = True) -> None:
    """Replace a file in one step; only its owner may read it. Without `sync` a power failure may take the new text back."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            if sync:
                os.fsync(sink.fileno())
        temporary.replace(path)
    except (OSError, UnicodeError):
        temporary.unlink(missing_ok=True)
        raise


def kept_passwords(file: Path, names: tuple[str, ...]) -> dict[str, str]:
    """A password for each name, made once and kept in `file`, which only its owner may read."""
    try:
        kept: dict[str, str] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        kept = {}
    except ValueError:
        raise RefusedError(f"{file} is damaged; delete it and start again, new passwords are made then") from None
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= {name: secrets.token_urlsafe(24) for name in missing}
        write_private(file, json.dumps(kept, indent=1))
    return {name: kept[name] for name in names}
