"""`everthread demo chaos`: conversations on the mesh of this home while its processes are killed at random, and what became of
every answer."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
from everthread_client import EverthreadClient

from everthread.chaos_runs import Watched, watch_one
from everthread.chaos_table import Board, Kill
from everthread.errors import EXIT_INTERRUPTED, EXIT_USAGE, RefusedError
from everthread.home import Home
from everthread.keys import mint
from everthread.ps import current
from everthread.state import MeshState, PartState, read_state

KINDS: Final = ("inference", "gateway", "conversation", "nats")
MOST_RUNS: Final = 50
MOST_KILLS: Final = 100
MOST_SECONDS: Final = 600
RECOVERY_SECONDS: Final = 120.0
"""How long no answer may come any further, and processes may take to be ready again."""
_PAUSE: Final = (0.5, 2.5)


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """How much. `at_once` conversations go on at the same time until there were `runs`; nothing is killed after `seconds`, nor
    once `kills` were made or every answer has ended. The same `seed` draws the same numbers."""

    runs: int
    at_once: int
    kills: int
    seconds: float
    kinds: tuple[str, ...]
    seed: int
    text: str
    model: str | None
    user: str


def check_chaos(chaos: Chaos) -> None:
    """Within bounds. Raises RefusedError."""
    for option, value, most in (
        ("--runs", chaos.runs, MOST_RUNS),
        ("--at-once", chaos.at_once, MOST_RUNS),
        ("--kills", chaos.kills, MOST_KILLS),
        ("--seconds", chaos.seconds, MOST_SECONDS),
    ):
        if not 1 <= value <= most:
            raise RefusedError(f"{option} {value:g} is not from 1 to {most}: this command is bounded", EXIT_USAGE)
    unknown = [kind for kind in chaos.kinds if kind not in KINDS]
    if unknown or not chaos.kinds:
        raise RefusedError(f"--kill {','.join(unknown)!r} is none of {', '.join(KINDS)}", EXIT_USAGE)


def own_mesh(home: Home) -> MeshState:
    """The mesh that `everthread up` runs in this home, on this machine. Raises RefusedError for any other."""
    supervisor = home.supervisor()
    mesh = read_state(home.state) if supervisor is not None else None
    if mesh is None:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up --scale inference=2`")
    if mesh.pid != supervisor:
        raise RefusedError(f"{home.state} is not of the `up` that holds {home.root}; start it again")
    foreign = [url for url in mesh.urls if urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost")]
    if foreign:
        raise RefusedError(f"{', '.join(foreign)} is not on this machine, and nothing else is ever killed here")
    if mesh.issuer != "development":
        raise RefusedError("this mesh has an identity provider, so it is no playground; use one of your own")
    return mesh


def run_chaos(home: Home, chaos: Chaos) -> int:
    """Do it, show it, and say what became of it: 0 when every answer is whole, 1 when one is not. Raises RefusedError."""
    check_chaos(chaos)
    mesh = own_mesh(home)
    board = Board(kinds=chaos.kinds, seed=chaos.seed)
    try:
        with board:
            asyncio.run(_play(home, mesh, chaos, board))
    except KeyboardInterrupt:
        board.interrupted = True
    sound = board.verdict(_unready(home))
    return EXIT_INTERRUPTED if board.interrupted else 0 if sound else 1


async def _play(home: Home, mesh: MeshState, chaos: Chaos, board: Board) -> None:
    client = EverthreadClient(
        mesh.urls,
        lambda: mint(home.dev_key, user=chaos.user, role="user", lifetime=3600),
        patience=RECOVERY_SECONDS,
        http=httpx2.AsyncClient(timeout=httpx2.Timeout(10.0, connect=2.0), trust_env=False),
    )
    slots = asyncio.Semaphore(chaos.at_once)

    async def one(watched: Watched) -> None:
        async with slots:
            await watch_one(client, watched, text=chaos.text, model=chaos.model)

    async with client:
        board.runs = [Watched(number=number) for number in range(1, chaos.runs + 1)]
        answers = [asyncio.create_task(one(watched), name=f"answer {watched.number}") for watched in board.runs]
        killer = asyncio.create_task(_kill(home, chaos, board), name="kills")
        try:
            done = asyncio.create_task(_all(answers))
            await asyncio.wait({killer, done}, return_when=asyncio.FIRST_COMPLETED)
            await _ended(done, board)
        finally:
            killer.cancel()
            for task in answers:
                task.cancel()
            await asyncio.gather(killer, *answers, return_exceptions=True)
        await _recovered(home)


async def _ended(done: asyncio.Task[None], board: Board) -> None:
    """Until all have ended, or none has come any further for RECOVERY_SECONDS, or MOST_SECONDS are over."""
    until = time.monotonic() + MOST_SECONDS
    far, moved_at = -1, time.monotonic()
    while not done.done() and time.monotonic() < min(until, moved_at + RECOVERY_SECONDS):
        await asyncio.wait({done}, timeout=1.0)
        now = sum(watched.events for watched in board.runs)
        if now != far:
            far, moved_at = now, time.monotonic()


async def _all(answers: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*answers, return_exceptions=True)


async def _kill(home: Home, chaos: Chaos, board: Board) -> None:
    """SIGKILL for one ready process after the other."""
    choose = random.Random(chaos.seed)  # noqa: S311 - draws victims, hides nothing
    began = time.monotonic()
    while len(board.kills) < chaos.kills:
        await asyncio.sleep(choose.uniform(*_PAUSE))
        after = time.monotonic() - began
        if after > chaos.seconds:
            return
        kind = choose.choice(chaos.kinds)
        drawn = choose.random()
        victims = [part for part in ready_parts(home) if kind_of(part) == kind]
        if not victims:
            continue
        victim = victims[int(drawn * len(victims))]
        if kill_part(home, victim):
            board.kills.append(Kill(after=after, name=victim.name, pid=victim.pid))
            board.tell(f"{after:6.1f} s  SIGKILL for {victim.name} ({victim.pid})")


def kind_of(part: PartState) -> str:
    """`inference` of `inference-2`; the broker has no number."""
    return part.name.rpartition("-")[0] or part.name


def ready_parts(home: Home) -> list[PartState]:
    """What may be killed now, by name. Only what is ready: whoever is killed before that counts as crashed and is given up
    after some times."""
    mesh = read_state(home.state) if home.supervisor() is not None else None
    parts = [] if mesh is None else mesh.parts
    return sorted((part for part in parts if part.state == "ready" and part.pid > 1), key=lambda part: part.name)


def kill_part(home: Home, part: PartState) -> bool:
    """SIGKILL, where the process is a child of this home's `up`; False where it is not, or not any more."""
    if not is_child(part.pid, home.supervisor()):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(part.pid, signal.SIGKILL)
        return True
    return False


def is_child(pid: int, supervisor: int | None) -> bool:
    """Whether the process lives and is a child of the `up`; never where no `up` is known (None, or 0 before it has said its
    pid), though a process that is gone has no parent either."""
    return bool(supervisor) and _parent(pid) == supervisor


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(") ")[2].split()[1])
    except (OSError, ValueError, IndexError):
        pass
    import subprocess

    # Where there is no /proc, as on macOS.
    found = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(found.stdout) if found.stdout.strip().isdigit() else None


async def _recovered(home: Home) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        if not await asyncio.to_thread(_unready, home):
            return
        await asyncio.sleep(0.3)


def _unready(home: Home) -> Sequence[str]:
    mesh = current(home)
    return ["up"] if mesh is None else [part.name for part in mesh.parts if part.state != "ready"]
