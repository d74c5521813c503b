"""Keeps the parts of the mesh running: starts them, notices their end, starts them again, stops them in order."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from everthread.child import Child, Program
from everthread.errors import RefusedError
from everthread.state import PartState, PartStatus

START_SECONDS: Final = 60.0
"""A process that is not ready by then is ended and counts as crashed."""
QUICK_SECONDS: Final = 10.0
"""A process that was ready for less than this when it ended has crashed quickly."""
QUICK_CRASHES: Final = 6
"""After so many quick crashes in a row a part is given up."""
LONGEST_DELAY: Final = 8.0
KILLED: Final = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that somebody, or the system, ended."""
EXIT_CONFIGURATION: Final = 78
"""A service refuses its settings with this code: starting it again changes nothing."""


@dataclass(kw_only=True)
class Part:
    """One process of the mesh. `program` makes its command line anew for every start; `ready` asks, blocking shortly, and is not
    called while `refuses` says, at once, that nothing listens yet; `needs` are the parts that must have been ready once before it starts; parts of the highest `stage` are stopped first."""

    name: str
    port: int
    health_port: int
    probe: str
    program: Callable[[], Program]
    ready: Callable[[], bool]
    stage: int
    refuses: Callable[[], bool] = lambda: False
    needs: tuple[str, ...] = ()
    grace: float = 10.0
    status: PartStatus = "waiting"
    restarts: int = 0
    reason: str = ""
    child: Child | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    was_ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.exit_code is None

    def public(self) -> PartState:
        """Its line in state.json."""
        return PartState(
            name=self.name,
            pid=self.child.pid if self.child is not None and self.running else 0,
            port=self.port,
            state=self.status,
            health_port=self.health_port,
            probe=self.probe,
            restarts=self.restarts,
        )


def delay_before(crashes: int) -> float:
    """Seconds to wait before the start that follows the `crashes`-th quick crash in a row; the first is answered at once."""
    return 0.0 if crashes <= 1 else min(LONGEST_DELAY, 0.5 * 2.0 ** (crashes - 2))


class Supervisor:
    """Runs `parts` in the event loop of the main thread (children are bound to the thread that started them).

    `changed` is called after every change of a part's status; `delay` gives the wait before a start from the number of quick
    crashes in a row.
    """

    def __init__(
        self, parts: Sequence[Part], changed: Callable[[Part], None], delay: Callable[[int], float] = delay_before
    ) -> None:
        self.parts = parts
        self._delay = delay
        self._changed = changed
        self._by_name = {part.name: part for part in parts}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._killing = False

    async def start(self) -> None:
        """Start all parts, each as soon as what it needs is ready. Raises RefusedError when one of them is given up."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._collect)
        self._tasks = {part.name: asyncio.create_task(self._keep(part), name=part.name) for part in self.parts}
        all_ready = asyncio.create_task(self._all_ready())
        try:
            await asyncio.wait({all_ready, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            if not all_ready.done():
                ended = next(part for part in self.parts if self._tasks[part.name].done())
                self._tasks[ended.name].result()
                raise RefusedError(f"{ended.name} does not start: {ended.reason}")
        finally:
            all_ready.cancel()

    async def _all_ready(self) -> None:
        for part in self.parts:
            await part.was_ready.wait()

    async def stop(self) -> None:
        """Stop everything, the highest stage first; a part that outlives its grace is killed."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        ordered = sorted(self.parts, key=lambda part: part.stage, reverse=True)
        for _, group in groupby(ordered, key=lambda part: part.stage):
            await asyncio.gather(*(self._stop(part) for part in group))

    def kill(self) -> None:
        """SIGKILL to all that still runs: no more waiting."""
        self._killing = True
        for part in self.parts:
            if part.child is not None:
                part.child.signal(signal.SIGKILL)

    async def _keep(self, part: Part) -> None:
        for name in part.needs:
            await self._by_name[name].was_ready.wait()
        crashes = 0
        while True:
            part.gone.clear()
            try:
                part.child = Child(part.program())
            except OSError as error:
                crashes, why = crashes + 1, f"no process could be started: {error.strerror or error}"
            else:
                self._set(part, "starting")
                ready_at = await self._become_ready(part)
                if ready_at is not None:
                    part.was_ready.set()
                    self._set(part, "ready")
                    await part.gone.wait()
                lasted = 0.0 if ready_at is None else time.monotonic() - ready_at
                # Killed from outside once it was ready: it would have gone on, so it is not given up, however often.
                was_killed = ready_at is not None and part.child.exit_code in KILLED
                crashes = crashes + 1 if lasted < QUICK_SECONDS and not was_killed else 1
                why = self._why(part, ready_at is not None)
            part.reason = why
            if crashes >= QUICK_CRASHES or (part.child is not None and part.child.exit_code == EXIT_CONFIGURATION):
                self._set(part, "failed")
                return
            part.restarts += 1
            self._set(part, "restarting")
            await asyncio.sleep(self._delay(crashes))

    async def _become_ready(self, part: Part) -> float | None:
        """When it became ready (monotonic), or None when it ended or hung before."""
        deadline = time.monotonic() + START_SECONDS
        listens = False
        while time.monotonic() < deadline:
            if part.gone.is_set():
                return None
            listens = listens or not part.refuses()
            if listens and await asyncio.to_thread(part.ready):
                return time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(part.gone.wait(), 0.05)
        if part.child is not None:
            part.child.signal(signal.SIGKILL)
            await part.gone.wait()
        return None

    def _why(self, part: Part, was_ready: bool) -> str:
        if part.child is None:
            return "it did not start"
        code = part.child.exit_code or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        said = "" if was_ready else part.child.last_lines(1)
        return f"{how}{': ' + said.rstrip('.') if said else ''}, see {part.child.program.log}"

    async def _stop(self, part: Part) -> None:
        if part.child is None:
            return
        self._set(part, "stopping")
        if part.running:
            part.child.signal(signal.SIGKILL if self._killing else signal.SIGTERM)
            try:
                await asyncio.wait_for(part.gone.wait(), part.grace)
            except TimeoutError:
                part.child.signal(signal.SIGKILL)
                await part.gone.wait()
        self._set(part, "stopped")

    def _set(self, part: Part, status: PartStatus) -> None:
        part.status = status
        self._changed(part)

    def _collect(self) -> None:
        for part in _ended(self.parts):
            part.gone.set()


def _ended(parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if part.child is not None and part.child.exit_code is not None]
