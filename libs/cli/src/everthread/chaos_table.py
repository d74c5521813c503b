"""What `everthread demo chaos` shows: a table that changes on a terminal, lines elsewhere, and the verdict."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from everthread.chaos_runs import Watched

_LAST_KILLS = 5


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A process that was killed, `after` seconds from the start."""

    after: float
    name: str
    pid: int


class Board:
    """Use as a context manager while it goes on; then ask for the `verdict`."""

    def __init__(self, *, kinds: Sequence[str], seed: int) -> None:
        self.runs: list[Watched] = []
        self.kills: list[Kill] = []
        self.interrupted = False
        self._title = f"Killing {', '.join(kinds)} at random, seed {seed}"
        self._console = Console(file=sys.stdout, highlight=False)
        self._live = Live(get_renderable=self._now, console=self._console, refresh_per_second=5, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._console.print(self._title)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def tell(self, line: str) -> None:
        """Something happened; on a terminal the table shows it."""
        if not self._console.is_terminal:
            self._console.print(line, markup=False)

    def verdict(self, unready: Sequence[str]) -> bool:
        """Print the table and what it means; whether all is well."""
        self._console.print(self._table())
        broken = [watched for watched in self.runs if not watched.sound]
        for watched in broken:
            why = watched.problem or f"ended {watched.ends} times as {watched.state}"
            self._console.print(f"run {watched.number} {watched.run_id}: {why}", markup=False, style="red")
        if unready:
            self._console.print(f"not ready again: {', '.join(unready)}; look with `everthread doctor`", style="red")
        sound = not broken and not unready and not self.interrupted
        again = sum(max(watched.attempt - 1, 0) for watched in self.runs)
        said = (
            "interrupted: what had not ended goes on without you"
            if self.interrupted
            else f"every answer whole, once, and stored as it was shown; taken over {again} times"
            if sound
            else f"{len(broken)} of {len(self.runs)} answers are not sound"
        )
        self._console.print(
            f"{'SOUND' if sound else 'NOT SOUND'}: {len(self.kills)} processes killed, {len(self.runs)} answers, {said}.",
            style="bold green" if sound else "bold red",
            markup=False,
        )
        return sound

    def _now(self) -> Group:
        last = [f"{kill.after:6.1f} s  SIGKILL for {kill.name} ({kill.pid})" for kill in self.kills[-_LAST_KILLS:]]
        return Group(Text(self._title), self._table(), Text("\n".join(last)), Text("Ctrl-C ends it; answers go on."))

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("#", "run", "state", "attempt", "events", "tokens", "gaps", "doubles", "stored\n= shown"):
            table.add_column(name, justify="left" if name in ("run", "state") else "right", no_wrap=True)
        for one in self.runs:
            same = {True: "yes", False: "NO", None: ""}[one.same]
            colour = "green" if one.sound else "red" if one.problem or one.same is False else ""
            run = f"…{one.run_id[-6:]}" if one.run_id else ""
            cells = (one.number, run, one.state, one.attempt, one.events, one.tokens, one.gaps, one.doubles, same)
            table.add_row(*(str(cell) for cell in cells), style=colour)
        return table
