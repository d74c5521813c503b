"""`everthread up`: the whole mesh on this machine, until somebody stops it."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from everthread.embedded import PartError
from everthread.environment import PAGE_FOLDER, keep_bytecode
from everthread.errors import RefusedError, explain_os_error
from everthread.home import Home
from everthread.page import build_page, page_sources
from everthread.plan import Plan, check_replacements, make_plan
from everthread.ports import NoFreePortError
from everthread.progress import Progress
from everthread.state import MeshState, write_state
from everthread.supervisor import Part, Supervisor

LEAST_DISK: Final = 256 * 1024 * 1024
"""Bytes that must be free: the broker's and the database's first files, and some answers."""
MOST_FILES: Final = 65_536
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_up(
    home: Home, *, port: int, counts: Mapping[str, int], with_model: bool, with_page: bool = True, demo: bool = False
) -> int:
    """Run until stopped; returns the exit code. Raises RefusedError for whatever makes a start impossible."""
    home.prepare()
    check_disk(home)
    raise_file_limit()
    keep_bytecode(os.environ, home.bytecode)
    with home.locked():
        try:
            home.state.unlink(missing_ok=True)
            # A page that was built elsewhere is served as it is.
            page = page_sources() if with_page and not os.environ.get(PAGE_FOLDER) else None
            plan = make_plan(
                home,
                port=port,
                counts=counts,
                with_model=with_model,
                environment=os.environ,
                page=page,
                demo=demo,
            )
            return asyncio.run(_run(plan, home, page))
        except OSError as error:
            raise RefusedError(explain_os_error(error, home.root)) from None
        except (PartError, NoFreePortError) as error:
            raise RefusedError(str(error)) from None


def raise_file_limit() -> None:
    """As many open files as the hard limit lets the children have: a viewer is one, and macOS begins with 256."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_disk(home: Home) -> None:
    """There is room for the data. Raises RefusedError."""
    free = shutil.disk_usage(home.root).free
    if free < LEAST_DISK:
        raise RefusedError(
            f"the disk that holds {home.root} has {free // 2**20} MiB free, and {LEAST_DISK // 2**20} MiB are needed; "
            "free some space or choose another folder with --home"
        )


async def _run(plan: Plan, home: Home, page: Path | None) -> int:
    progress = Progress(plan.parts)

    def changed(part: Part) -> None:
        progress.changed(part)
        # A full disk must not take down what still runs; the next change writes it again.
        with contextlib.suppress(OSError):
            _record(plan, home)

    supervisor = Supervisor(plan.parts, changed)
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill()
        else:
            stop.set()
            progress.stopping()

    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    progress.begin(home, plan.uses, plan.notes)
    building = asyncio.create_task(_build(page, plan, progress))
    try:
        stopped = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(_start(supervisor))
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            progress.ready(plan, home)
            await stopped
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    finally:
        building.cancel()
        await asyncio.gather(building, return_exceptions=True)
        progress.end_spinner()
        await supervisor.stop()
        with contextlib.suppress(OSError):
            home.state.unlink(missing_ok=True)
    progress.stopped()
    return 0


async def _start(supervisor: Supervisor) -> None:
    await asyncio.to_thread(check_replacements, os.environ)
    await supervisor.start()


async def _build(page: Path | None, plan: Plan, progress: Progress) -> None:
    """Build the page beside the start, which does not wait for it."""
    if page is None:
        return
    try:
        built = await build_page(page, progress.page)
    except OSError as error:
        progress.page(f"The page was not built: {error}.")
        built = False
    progress.page(
        f"page: {plan.urls[0]} in a browser"
        if built
        else "page: none; the API works without it. `task web` tries again"
    )


def _record(plan: Plan, home: Home) -> None:
    parts = [part.public() for part in plan.parts]
    state = MeshState(pid=os.getpid(), urls=plan.urls, issuer=plan.issuer, uses=plan.uses, parts=parts)
    write_state(home.state, state)
