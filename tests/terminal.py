"""A terminal for programs that need one: a pty with an emulator behind it, so that a test reads what a person would see."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import pyte

COLUMNS, ROWS, HISTORY = 150, 40, 5000


class Terminal:
    """A program in a terminal of its own. Use as a context manager; it is killed at the end if it still runs."""

    def __init__(self, arguments: list[str], environment: dict[str, str], *, columns: int = COLUMNS) -> None:
        self._columns = columns
        self._arguments = arguments
        self._environment = environment | {"TERM": "xterm-256color"}
        self._screen = pyte.HistoryScreen(columns, ROWS, history=HISTORY, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self._leader = -1

    def __enter__(self) -> Self:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, self._columns, 0, 0))
        self.process = subprocess.Popen(
            self._arguments,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=self._environment,
            start_new_session=True,
            # Ctrl-C reaches the program as a signal only where this is its controlling terminal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(follower)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._leader)

    def type(self, text: str) -> None:
        """Keys, without Enter."""
        os.write(self._leader, text.encode())

    def enter(self, text: str) -> None:
        """A line and Enter."""
        self.type(text + "\r")

    def modes(self) -> list[object]:
        """How the terminal is set, as `termios.tcgetattr` has it: echo, whole lines, signals by keys."""
        return termios.tcgetattr(self._leader)

    def read(self, seconds: float = 0.05) -> None:
        """Take in what the program has written, waiting for it so long at most."""
        while select.select([self._leader], [], [], seconds)[0]:
            try:
                data = os.read(self._leader, 65536)
            except OSError:
                return
            if not data:
                return
            self._stream.feed(data)
            seconds = 0

    def lines(self) -> list[str]:
        """Everything that was written, what has scrolled away first, as it stands now. Wrapped rows are rows."""
        return [_text(row) for row in (*self._screen.history.top, *map(self._screen.buffer.__getitem__, range(ROWS)))]

    def text(self) -> str:
        """`lines` as one text."""
        return "\n".join(self.lines()).rstrip()

    def until(self, found: str | Callable[[str], bool], within: float = 30) -> str:
        """Read until the text is there; the whole of what is seen then."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.read()
            text = self.text()
            if (found in text) if isinstance(found, str) else found(text):
                return text
            if self.process.poll() is not None:
                with contextlib.suppress(OSError):
                    self.read(0.2)
                break
        assert (found in self.text()) if isinstance(found, str) else found(self.text()), (
            f"{found!r} was not seen within {within} s:\n{self.text()}"
        )
        return self.text()


def _text(row: Mapping[int, pyte.screens.Char]) -> str:
    """A row without the spaces at its end. Only cells that were written are in it, the second one of a wide letter as nothing."""
    return "".join(row[column].data for column in range(max(row, default=-1) + 1)).rstrip()
