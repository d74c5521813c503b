"""`everthread topology`: the broker's streams and consumers against contracts.topology."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from bus.errors import BusError
from bus.jetstream import connect
from bus.jetstream.administration import Difference, administration
from contracts import topology

from everthread.errors import RefusedError
from everthread.home import Home
from everthread.reach import of_mesh, running
from everthread.telling import only_errors


def broker_of(home: Home, nats_url: str | None) -> str:
    """Where the broker is, as admin: the one named, else the running mesh's. Raises RefusedError."""
    if nats_url:
        return nats_url
    mesh = running(home)
    if mesh is None:
        raise RefusedError(
            f"nothing runs in {home.root}; start it with `everthread up`, or name a broker with --nats-url"
        )
    return of_mesh(home, mesh).nats_url


def show_differences(home: Home, nats_url: str | None, *, replicas: int, as_json: bool) -> int:
    """Print them; 1 when there are some. Raises RefusedError."""
    only_errors()
    differences, others = _asked(broker_of(home, nats_url), replicas)
    if as_json:
        print(json.dumps({"differences": [asdict(one) for one in differences], "others": others}, indent=1))
    else:
        _print(differences, others)
    return 1 if differences else 0


def apply_topology(home: Home, nats_url: str | None, *, replicas: int, as_json: bool) -> int:
    """Reconcile, and print what was changed by it. Raises RefusedError."""
    only_errors()
    url = broker_of(home, nats_url)
    before, others = _asked(url, replicas)
    if before:
        try:
            asyncio.run(_reconcile(url, replicas))
        except BusError as error:
            raise RefusedError(f"{error}; `everthread topology diff` says what is left to do") from None
    left, _ = _asked(url, replicas)
    if as_json:
        print(json.dumps({"changed": [asdict(one) for one in before], "left": [asdict(one) for one in left]}, indent=1))
    else:
        _print(before, others)
        print("Applied." if before and not left else "Nothing was to be done." if not before else "")
    if left:
        raise RefusedError(f"{len(left)} differences are left after the change; `everthread topology diff` names them")
    return 0


def _asked(url: str, replicas: int) -> tuple[list[Difference], list[str]]:
    async def ask() -> tuple[list[Difference], list[str]]:
        async with administration(url, name="everthread-topology") as broker:
            found = await broker.differences(topology.STREAMS, topology.CONSUMERS, replicas=replicas)
            known = {stream.name for stream in topology.STREAMS}
            return found, sorted(set(await broker.streams()) - known)

    try:
        return asyncio.run(ask())
    except BusError as error:
        raise RefusedError(str(error).rstrip(".")) from None


async def _reconcile(url: str, replicas: int) -> None:
    bus = await connect(url, instance="everthread-topology", budget=10.0)
    try:
        await bus.reconcile(replicas=replicas)
    finally:
        await bus.drain()


def _print(differences: list[Difference], others: list[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not differences:
        console.print(
            f"{len(topology.STREAMS)} streams and {len(topology.CONSUMERS)} consumers are as this version wants them."
        )
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("", "NAME", "SETTING", "ON THE SERVER", "WANTED"):
            table.add_column(title, overflow="fold")
        for one in differences:
            table.add_row(one.kind, one.name, one.field, *(escape(_shown(value)) for value in (one.found, one.wanted)))
        console.print(table)
    if others:
        console.print(f"Not of this version, and left alone: {', '.join(others)}.")


def _shown(value: Any) -> str:
    return "missing" if value is None else value if isinstance(value, str) else json.dumps(value)
