"""`everthread ps`: what runs now, looked at and not only read from state.json."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from everthread.home import Home
from everthread.probes import accepts, alive, http_status
from everthread.state import MeshState, PartState, public, read_state


def show(home: Home, *, as_json: bool) -> int:
    """Print the parts; returns the exit code."""
    mesh = current(home)
    parts = [] if mesh is None else mesh.parts
    if as_json:
        print(json.dumps(public(parts), indent=1))
    elif mesh is None:
        print(f"nothing runs in {home.root}; start it with `everthread up`", file=sys.stderr)
    else:
        print("\n".join(table(parts, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)))
    return 0


def current(home: Home) -> MeshState | None:
    """The mesh that runs in this home, each part's state checked now; None when none runs."""
    if home.supervisor() is None:
        return None
    mesh = read_state(home.state)
    if mesh is None:
        return None
    with ThreadPoolExecutor(max(1, len(mesh.parts))) as pool:
        mesh.parts = list(pool.map(_checked, mesh.parts))
    return mesh


def _checked(part: PartState) -> PartState:
    """The part with the state it has now: its supervisor may not have noticed yet, and does not ask again once it was ready."""
    if part.state != "ready":
        return part
    if not alive(part.pid):
        part.state = "restarting"
    elif part.probe == "tcp":
        part.state = "ready" if accepts(part.health_port) else "unready"
    elif http_status(part.health_port, part.probe) != 200:
        part.state = "unready"
    return part


def table(parts: list[PartState], *, colour: bool) -> list[str]:
    """Lines for a person."""
    rows = [("NAME", "PID", "PORT", "STATE", "RESTARTS")]
    rows += [(p.name, str(p.pid or "-"), str(p.port), p.state, str(p.restarts)) for p in parts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if colour:
        lines = [lines[0], *(_painted(line, part.state) for line, part in zip(lines[1:], parts, strict=True))]
    return lines


def _painted(line: str, state: str) -> str:
    code = {"ready": "32", "failed": "31", "unready": "31"}.get(state, "33")
    return f"\x1b[{code}m{line}\x1b[0m"
