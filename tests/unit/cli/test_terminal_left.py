"""A talk has its terminal for as long as it lasts, and leaves it as it was found. Something else holds the terminal meanwhile, as a
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
WRITES = """
import asyncio, sys, termios
from everthread.talk.prompt import Prompt
real, echoed = sys.stdout, []
class Watched:
    def __getattr__(self, name):
        return getattr(real, name)
    def flush(self):
        echoed.append(bool(termios.tcgetattr(0)[3] & termios.ECHO))
        real.flush()
sys.stdout = Watched()
def say(line):
    echoed.clear()
    prompt.write(f"That was {line}.")
prompt = Prompt(submitted=say, changed=lambda: None, words=[])
left = asyncio.run(prompt.run())
print("left by", left, "echoed", any(echoed), file=real, flush=True)
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


def test_keys_are_the_talks_also_while_lines_are_put_above_the_prompt() -> None:
    with Terminal([sys.executable, "-c", WRITES], dict(os.environ)) as terminal:
        terminal.until("you>")
        terminal.enter("half a thought")
        terminal.until("That was half a thought.")
        terminal.type("\x04")
        # What is printed in one line may be read in pieces.
        shown = terminal.until(lambda text: re.search(r"left by \w+ echoed (True|False)", text) is not None)
        assert "left by ended echoed False" in shown
