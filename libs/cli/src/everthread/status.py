"""`everthread status`: one screen about services, broker, lag, database, providers and rollout.

Each section is asked for itself: what cannot be had says why, and the others are shown all the same.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from bus.errors import BusError
from bus.jetstream.administration import administration
from contracts import topology

from everthread import database_copy
from everthread.errors import RefusedError
from everthread.exposition import samples
from everthread.home import Home
from everthread.probes import http_body
from everthread.ps import current
from everthread.reach import Reach, of_mesh
from everthread.rollout import As, ask_rollout
from everthread.state import MeshState
from everthread.telling import only_errors
from everthread.up import LEAST_DISK

State = Literal["ok", "note", "wrong"]
_FULL: Final = 0.8
"""The share of its limit from which a stream is worth a look."""
_WAITING: Final = 100
"""Items a consumer may have waiting before it is worth a look."""
_DURATION: Final = "gen_ai_client_operation_duration_seconds_count"
_FAILURES: Final = "everthread_model_failures_total"


@dataclass(kw_only=True)
class Section:
    """One part of the screen: rows of cells, and how it is with it."""

    name: str
    rows: list[list[str]] = field(default_factory=list)
    state: State = "ok"


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Servers that are not this machine's; None where the running mesh's are meant."""

    nats_url: str | None
    mongodb_uri: str | None


def show_status(home: Home, elsewhere: Elsewhere, who: As, *, as_json: bool) -> int:
    """Print it; 1 when something is wrong. Raises RefusedError where there is nothing to look at."""
    only_errors()
    mesh = current(home)
    if mesh is None and not elsewhere.nats_url and not elsewhere.mongodb_uri:
        raise RefusedError(
            f"nothing runs in {home.root}; start it with `everthread up`, or name servers with --nats-url and --mongodb-uri"
        )
    looks = _looks(home, mesh, elsewhere, who)
    with ThreadPoolExecutor(len(looks)) as pool:
        sections = list(pool.map(_guarded, looks.items()))
    if as_json:
        print(json.dumps([asdict(section) for section in sections], indent=1))
    else:
        _print(sections)
    return 1 if any(section.state == "wrong" for section in sections) else 0


def _looks(home: Home, mesh: MeshState | None, elsewhere: Elsewhere, who: As) -> dict[str, Callable[[], Section]]:
    looks: dict[str, Callable[[], Section]] = {}
    if mesh is not None:
        looks["services"] = lambda: _services(home, mesh)

    def own() -> Reach:
        if mesh is None:
            raise RefusedError("it was not named")
        return of_mesh(home, mesh)

    looks["broker"] = lambda: asyncio.run(_broker(elsewhere.nats_url or own().nats_url))
    looks["lag"] = lambda: asyncio.run(_lag(elsewhere.nats_url or own().nats_url))
    looks["database"] = lambda: _database(elsewhere.mongodb_uri or own().mongodb_uri)
    if mesh is not None:
        looks["providers"] = lambda: _providers(mesh)
        looks["rollout"] = lambda: _rollout(ask_rollout(home, who))
    return looks


def _guarded(look: tuple[str, Callable[[], Section]]) -> Section:
    name, ask = look
    try:
        return ask()
    except (RefusedError, BusError) as error:
        return Section(name=name, rows=[[str(error)]], state="wrong")


def _services(home: Home, mesh: MeshState) -> Section:
    section = Section(name="services")
    for part in mesh.parts:
        said = ""
        if part.state != "ready":
            section.state = "wrong"
            said = _failing(http_body(part.health_port, part.probe)) if part.probe.startswith("/") else ""
        restarts = f"restarted {part.restarts} times" if part.restarts else ""
        section.rows.append([part.name, part.state, f"port {part.port}", restarts, said])
    free = shutil.disk_usage(home.root).free
    section.rows.append(["disk", f"{_size(free)} free", "", "", ""])
    return Section(name=section.name, rows=section.rows, state="wrong" if free < LEAST_DISK else section.state)


def _failing(body: str) -> str:
    try:
        return "misses " + ", ".join(name for name, holds in json.loads(body)["checks"].items() if not holds)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "does not answer"


async def _broker(url: str) -> Section:
    async with administration(url, name="everthread-status") as broker:
        account, streams = await broker.account(), await broker.streams()
        section = Section(name="broker")
        section.rows.append(
            [f"nats-server {broker.server_version}", f"{len(streams)} streams", _size(int(account["storage"])), ""]
        )
        missing = [stream.name for stream in topology.STREAMS if stream.name not in streams]
        if missing:
            section.state = "wrong"
            section.rows.append([f"missing: {', '.join(missing)}", "everthread topology apply", "", ""])
        for name, info in sorted(streams.items(), key=lambda item: -int(item[1]["state"]["bytes"])):
            row, state = _stream(name, info)
            if row:
                section.rows.append(row)
            section.state = _worse(section.state, state)
        return section


def _stream(name: str, info: dict[str, Any]) -> tuple[list[str], State]:
    """Only those that hold something, or are ill."""
    limit, used = int(info["config"].get("max_bytes", -1)), int(info["state"]["bytes"])
    share = used / limit if limit > 0 else 0.0
    behind = [replica for replica in (info.get("cluster") or {}).get("replicas") or [] if not replica.get("current")]
    leaderless = info.get("cluster") is not None and not info["cluster"].get("leader")
    state: State = "wrong" if leaderless or share >= 1 else "note" if share >= _FULL or behind else "ok"
    if not used and state == "ok":
        return [], state
    said = "no leader" if leaderless else f"{len(behind)} replicas behind" if behind else ""
    return [name, f"{info['state']['messages']} messages", f"{_size(used)}, {share:.0%} full", said], state


async def _lag(url: str) -> Section:
    async with administration(url, name="everthread-status") as broker:
        section = Section(name="lag")
        held: dict[str, dict[str, dict[str, Any]]] = {}
        there = await broker.streams()
        for consumer in topology.CONSUMERS:
            if consumer.stream in there and consumer.stream not in held:
                held[consumer.stream] = await broker.consumers(consumer.stream)
            info = held.get(consumer.stream, {}).get(consumer.name)
            if info is None:
                section.rows.append([consumer.name, "missing", "everthread topology apply", ""])
                section.state = "wrong"
                continue
            waiting = int(info["num_pending"])
            section.state = _worse(section.state, "note" if waiting > _WAITING else "ok")
            section.rows.append(
                [
                    consumer.name,
                    f"{waiting} waiting",
                    f"{info['num_ack_pending']} in hand",
                    f"{info['num_redelivered']} again" if info["num_redelivered"] else "",
                ]
            )
        return section


def _database(uri: str) -> Section:
    with database_copy.opened(uri) as database:
        hello = database.client.admin.command("hello")
        version = database.client.server_info()["version"]
        section = Section(name="database")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            section.state = "wrong"
        hosts = hello.get("hosts") or [hello.get("me", "")]
        section.rows.append([f"{version}", f"replica set {hello.get('setName', 'none')}", f"{len(hosts)} members", ""])
        outbox = database["outbox"].estimated_document_count()
        section.state = _worse(section.state, "note" if outbox > _WAITING else "ok")
        section.rows.append(
            [
                f"{database['threads'].estimated_document_count()} threads",
                f"{database['messages'].estimated_document_count()} messages",
                f"{database['runs'].count_documents({'check_at': {'$exists': True}})} open runs",
                f"{outbox} rows in the outbox",
            ]
        )
        return section


def _providers(mesh: MeshState) -> Section:
    calls: dict[str, int] = {}
    failures: dict[str, dict[str, int]] = {}
    workers = [part for part in mesh.parts if part.name.startswith("inference-")]
    for part in workers:
        for name, labels, value in samples(http_body(part.health_port, "/metrics")):
            if name == _DURATION:
                model = labels.get("gen_ai_request_model", "")
                calls[model] = calls.get(model, 0) + int(value)
            elif name == _FAILURES and value:
                found = failures.setdefault(labels.get("model", ""), {})
                found[labels.get("code", "")] = found.get(labels.get("code", ""), 0) + int(value)
    section = Section(name="providers", rows=[["model", mesh.uses.get("model", ""), "", ""]])
    for model in sorted(calls):
        section.rows.append([model, f"{calls[model]} calls since the workers' start", "", ""])
    for model, codes in sorted(failures.items()):
        section.state = "note"
        section.rows.append([model, "failed: " + ", ".join(f"{code} {count}" for code, count in codes.items()), "", ""])
    return section


def _rollout(rollout: dict[str, Any]) -> Section:
    share = "no percentage decides" if rollout["share"] is None else f"{rollout['share']} % on durable_event"
    state: State = "note" if rollout["mode"] == "cooling" else "ok"
    return Section(name="rollout", rows=[[share, f"guard {rollout['mode']}", rollout["reason"] or "", ""]], state=state)


def _worse(one: State, other: State) -> State:
    order: dict[State, int] = {"ok": 0, "note": 1, "wrong": 2}
    return max(one, other, key=order.__getitem__)


def _size(number: int) -> str:
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"


def _print(sections: list[Section]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for line in _lines(sections):
        console.print(line, markup=False, soft_wrap=True, style=_style(line))


def _style(line: str) -> str:
    return {"!": "bold red", "~": "yellow"}.get(line[:1], "")


def _lines(sections: list[Section]) -> Iterator[str]:
    """A line begins with `!` where its section is wrong, and with `~` where it is worth a look."""
    marks: dict[State, str] = {"ok": " ", "note": "~", "wrong": "!"}
    for section in sections:
        widths = [
            max(len(row[column]) for row in section.rows if len(row) > column)
            for column in range(max(map(len, section.rows), default=0))
        ]
        for number, row in enumerate(section.rows):
            cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
            yield f"{marks[section.state]} {section.name if number == 0 else '':<10}{cells}".rstrip()
