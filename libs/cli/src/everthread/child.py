"""One child process: started on a leash, in a session of its own, with its output in a file."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

LOG_LIMIT: Final = 8 * 1024 * 1024
"""Bytes a log may have when its writer starts; a longer one becomes `<name>.log.1` then."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run: the whole command line and the whole environment, and the file its output is appended to. One with a
    `niceness` above 0 stands back where the cores are not enough for all (setpriority(2)); one with a `timer_slack`, in nanoseconds,
    may be woken that much later than it asks (PR_SET_TIMERSLACK of prctl(2); Linux only)."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    niceness: int = 0
    timer_slack: int = 0


STANDS_BACK: Final = 2
"""The niceness of what stores, beside what carries tokens: an answer that is being read goes before one that is being accepted or
recorded. About two thirds of the share of a process that does not stand back; with 5, a third, the database of an overloaded machine
did not answer within its five seconds."""


class Child:
    """A running program. Its end is noticed by `exit_code`; it dies with this process, even by SIGKILL."""

    def __init__(self, program: Program) -> None:
        """Start it. Raises OSError when the log cannot be written or no process can be made."""
        program.log.parent.mkdir(parents=True, exist_ok=True)
        _rotate(program.log)
        self.program = program
        self.started = time.monotonic()
        with program.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*_leash(program.timer_slack), *program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(program.environment),
                # The terminal's Ctrl-C goes to the foreground group: the children are ended in order by their parent instead. No
                # session of its own: Linux weighs sessions against each other (autogroups), and a niceness only within one.
                process_group=0,
                pass_fds=(_watched_pipe(),) if _by_pipe() else (),
            )
        if program.niceness:
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, program.niceness)

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def stop(self, grace: float = 10.0) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds. Blocks until it has ended; returns its exit code."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
        return self._process.wait()

    def last_lines(self, count: int = 5) -> str:
        """The end of its log, for the message that says why it does not run."""
        return last_lines(self.program.log, count)


def last_lines(log: Path, count: int = 5) -> str:
    """The last `count` non-empty lines of a log file; empty when there is none."""
    try:
        with log.open("rb") as source:
            source.seek(max(0, log.stat().st_size - 16_384))
            lines = source.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-count:])


def _rotate(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))


def _by_pipe() -> bool:
    # The kernel's notice fires when the *thread* that forked is gone, so it serves for the main thread only.
    return sys.platform != "linux" or threading.current_thread() is not threading.main_thread()


@cache
def _pipe() -> tuple[int, int]:
    return os.pipe()


def _watched_pipe() -> int:
    return _pipe()[0]


def _leash(timer_slack: int) -> list[str]:
    how, descriptor = ("pipe", _watched_pipe()) if _by_pipe() else ("kernel", -1)
    script = str(Path(__file__).with_name("leash.py"))
    return [sys.executable, "-I", "-S", script, how, str(os.getpid()), str(descriptor), str(timer_slack)]
