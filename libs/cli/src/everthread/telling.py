"""Progress of long commands: bars on a terminal's stderr, nothing elsewhere."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


def only_errors() -> None:
    """Libraries' log lines are for services; a command says what it does itself."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class Telling:
    """One line per step, with a bar where its size is known."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:<32}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """On the screen for as long as this lasts."""
        with self._progress:
            yield

    @contextmanager
    def step(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """One step; what it yields is told how much further it is."""
        task = self._progress.add_task(what, total=max(1, size))
        yield lambda further: self._progress.advance(task, further)
        self._progress.update(task, completed=max(1, size))
