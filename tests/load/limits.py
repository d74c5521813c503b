"""`task bench:limits`: how far one mesh goes. Long answers read again, operations of the database, many viewers of one answer,
idle connections, tokens a second.

What is measured and how to read it: docs/benchmarks.md, whose section this writes. Loopback only; every row is bounded by a
count and a deadline, and everything started here is stopped here.
"""

import argparse
import asyncio
import gc
import os
import platform
import resource
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import uvloop

from tests import mesh as mesh_module
from tests.load.bench import PAGE
from tests.load.figures import Row, console
from tests.load.limit_database import database
from tests.load.limit_resume import longest, resume
from tests.load.limit_throughput import throughput
from tests.load.limit_watching import idle, watched
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

BEGIN, END = "<!-- limit figures: written by task bench:limits -->", "<!-- end of limit figures -->"
STORE = Path("/dev/shm")
OPEN_FILES = 20_000
ENVIRONMENT = {
    "EVERTHREAD_STREAMS_PER_USER": "5000",
    "EVERTHREAD_MESSAGES_BURST": "5000",
    "OPENAI_API_KEY": "bench",
}
"""Limits per user that the load of one user would meet."""

Measure = Callable[[Mesh, httpx2.AsyncClient], Awaitable[list[Row]]]
ON_A_MESH: dict[str, Measure] = {"resume": resume, "longest": longest, "watched": watched, "idle": idle}
ROWS = (*ON_A_MESH, "throughput", "database")


async def measure(chosen: list[str], store: Path) -> list[Row]:
    """The rows that were chosen, in the order of ROWS."""
    task = asyncio.current_task()
    assert task is not None
    # A bench that is told to stop stops what it has started.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="everthread-limits-", dir=store) as home, UpstreamProcess() as upstream:
        environment = ENVIRONMENT | {"OPENAI_BASE_URL": upstream.base_url}
        if set(chosen) - {"database"}:
            console.print("the mesh starts")
            mesh = mesh_module.start(
                Path(home) / "mesh", scale="gateway=2,inference=2", gateways=2, environment=environment
            )
            try:
                await mesh.wait_ready()
                # Through the second gateway, since rows kill the first.
                async with mesh.client(1) as client:
                    for name in ROWS:
                        if name not in chosen or name == "database":
                            continue
                        measured: Awaitable[list[Row]]
                        if name == "throughput":
                            measured = throughput(mesh, client, upstream)
                        else:
                            measured = ON_A_MESH[name](mesh, client)
                        rows += await _told(name, measured)
                        gc.collect()
                        await mesh.wait_ready(within=60)
            finally:
                mesh.stop()
        if "database" in chosen:
            rows += await _told("database", database(Path(home), environment))
    return rows


async def _told(name: str, measured: Awaitable[list[Row]]) -> list[Row]:
    """The rows, said as they come; what went wrong is a row too, so that the others are not lost with it."""
    began = time.monotonic()
    console.print(name)
    try:
        rows = list(await measured)
    except (AssertionError, ConnectionError, TimeoutError, httpx2.HTTPError) as error:
        rows = [Row(name, f"failed: {type(error).__name__} {str(error)[:200]}", "–")]
    for row in rows:
        console.print(f"  {row.what}: {row.figure}", markup=False, soft_wrap=True)
    console.print(f"{name}: {time.monotonic() - began:.0f} s")
    return rows


def report(rows: list[Row], load: float) -> str:
    """The rows as the table of docs/benchmarks.md. `load` is the machine's before anything was started."""
    lines = [
        f"Machine: {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, load average {load:.1f} from"
        f" other work when it began. Command: `uv run task bench:limits`.",
        "",
        "| what | figure | goal |",
        "|---|---|---|",
        *(f"| {row.what} | {row.figure} | {row.goal} |" for row in rows),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and put the table into docs/benchmarks.md, unless --no-write or a --row was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--row", action="append", choices=ROWS, help="only this one, printed; may be given more than once"
    )
    parser.add_argument("--store", type=Path, default=STORE, help="where the servers keep their data")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    chosen = [name for name in ROWS if name in (arguments.row or ROWS)]
    # The children inherit it: five thousand connections are as many files, here and in a gateway.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
    load = os.getloadavg()[0]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measure(chosen, arguments.store))
    text = report(rows, load)
    console.print(text, markup=False, soft_wrap=True)
    if not arguments.no_write and not arguments.row:
        page = PAGE.read_text("utf-8")
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}", "utf-8")


if __name__ == "__main__":
    main()
