"""state.json: what `up` knows about its children, for `ps` and the other commands."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from everthread.home import write_private

PartStatus = Literal["waiting", "starting", "ready", "unready", "restarting", "failed", "stopping", "stopped"]


@dataclass(kw_only=True)
class PartState:
    """One child. `pid` is 0 while there is no process. `probe` is `tcp` or the path of its readiness page on `health_port`."""

    name: str
    pid: int
    port: int
    state: PartStatus
    health_port: int
    probe: str
    restarts: int = 0


@dataclass(kw_only=True)
class MeshState:
    """The mesh as its supervisor last wrote it. `uses` says per replaceable part what is used."""

    pid: int
    urls: list[str]
    issuer: str
    uses: dict[str, str]
    parts: list[PartState]


def write_state(path: Path, state: MeshState) -> None:
    """Replace the file in one step."""
    write_private(path, json.dumps(asdict(state), indent=1), sync=False)


def read_state(path: Path) -> MeshState | None:
    """The last written state, or None when there is none that can be read."""
    try:
        data = json.loads(path.read_text("utf-8"))
        parts = [PartState(**part) for part in data.pop("parts")]
        return MeshState(**data, parts=parts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def public(parts: Iterable[PartState]) -> list[dict[str, object]]:
    """What `ps --json` prints."""
    return [{"name": p.name, "pid": p.pid, "port": p.port, "state": p.state} for p in parts]
