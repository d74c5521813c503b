"""A talk that is ended from outside leaves the terminal as it was found. Something else holds the terminal meanwhile, as a
shell does: the kernel resets one that nobody holds."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable

import pytest

from tests.terminal import Terminal

TALK = """
import asyncio, os
from everthread.talk.prompt import Prompt
prompt = Prompt(submitted=lambda line: None, changed=lambda: None, words=[])
prompt.write(f"talk {os.getpid()} of {os.getppid()}.")
print("left by", asyncio.run(prompt.run()), flush=True)
"""
WRAPPED = "import subprocess, sys; subprocess.call([sys.executable, '-c', sys.argv[1]])"
SHELL = '"$@"; echo over $?; exec sleep 60'


def wait_for(terminal: Terminal, holds: Callable[[list[object]], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds(terminal.modes()):
        assert time.monotonic() < deadline, terminal.text()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "whom", "left"),
    [(signal.SIGTERM, 1, "left by 15"), (signal.SIGHUP, 1, "left by 1"), (signal.SIGKILL, 2, "left by 1")],
    ids=["SIGTERM", "SIGHUP", "parent killed"],
)
def test_the_terminal_is_as_it_was_before(number: signal.Signals, whom: int, left: str) -> None:
    talk = [sys.executable, "-c", WRAPPED, TALK]
    with Terminal(["sh", "-c", SHELL, "sh", *talk], dict(os.environ)) as terminal:
        before = terminal.modes()
        shown = terminal.until(lambda text: re.search(r"talk \d+ of \d+\.[^>]*you>", text) is not None)
        wait_for(terminal, lambda modes: modes != before)
        found = re.search(r"talk (\d+) of (\d+)\.", shown)
        assert found is not None
        os.kill(int(found[whom]), number)
        terminal.until(lambda text: "over" in text and left in text)
        wait_for(terminal, lambda modes: modes == before)
