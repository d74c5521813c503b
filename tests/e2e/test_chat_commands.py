"""What one does in a terminal with an answer and beside it: other branches, a queue, stop, and leaving it to come back."""

import re

import pytest

from tests.mesh import COMMAND, Mesh
from tests.terminal import Terminal
from tests.upstream_script import expected_text


def chat(mesh: Mesh, *arguments: str) -> Terminal:
    return Terminal([COMMAND, "chat", "--user", "dora", "--home", str(mesh.home), *arguments], mesh.environment)


def words(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_branches_a_queue_a_stop_and_a_return(mesh: Mesh) -> None:
    with chat(mesh) as terminal:
        terminal.until("you>")
        terminal.enter("tokens=3 seed=1")
        terminal.until("3 out")
        terminal.enter("/edit tokens=4 seed=2")
        terminal.until("on a branch of its own")
        assert words(expected_text("tokens=4 seed=2")) in words(terminal.until("4 out"))
        terminal.enter("/open nowhere")
        terminal.until("is no thread's id")
        terminal.enter("/switch \u00b2")
        terminal.until("say which: /switch 1 to /switch 2")
        terminal.enter("/branches")
        terminal.until("* 2: 2 messages")
        terminal.enter("/switch 1")
        shown = terminal.until("--- this branch ---")
        shown = terminal.until(lambda text: "answer:" in text.rpartition("--- this branch ---")[2])
        told = words(shown.rpartition("--- this branch ---")[2])
        assert words(expected_text("tokens=3 seed=1")) in told
        assert words(expected_text("tokens=4 seed=2")) not in told

        # What is queued is answered once what runs was stopped, and what was written stays.
        terminal.enter("tokens=900 rate=20 seed=3")
        terminal.until("writing")
        terminal.enter("/queue tokens=5 seed=4")
        terminal.until("you (waits for its turn):")
        terminal.enter("/stop")
        terminal.until("[stopped by you")
        assert words(expected_text("tokens=5 seed=4")) in words(terminal.until(", 5 out"))
        terminal.enter("/verify")
        terminal.until("what was shown is what is stored")

        # Left by Ctrl-C in mid-answer, with words on the screen.
        terminal.enter("tokens=900 rate=20 seed=5")
        start = words(expected_text("tokens=6 seed=5"))
        terminal.until(lambda text: start in words(text))
        terminal.type("\x03")
        left = terminal.until("The answer goes on without you.")
        assert start in words(left)
        assert terminal.process.wait(20) == 130

    # Come back to, and told to end by the system: the same, under the signal's number.
    with chat(mesh, "--resume") as killed:
        start = words(expected_text("tokens=12 seed=5"))
        killed.until(lambda text: start in words(text))
        killed.process.terminate()
        killed.until("The answer goes on without you.")
        assert killed.process.wait(20) == 143

    with chat(mesh, "--resume") as back:
        start = words(expected_text("tokens=30 seed=5"))
        back.until(lambda text: start in words(text))
        back.enter("/stop")
        back.until("[stopped by you")
        back.type("\x04")
        assert back.process.wait(20) == 0
