"""`everthread chat` against the whole mesh: leave an answer, come back to it, stop it, lose the gateway on the way."""

import asyncio
import signal
import subprocess

from tests.mesh import COMMAND, Mesh
from tests.upstream_script import expected_text


def begin(mesh: Mesh, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [COMMAND, "chat", *arguments, "--home", str(mesh.home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Unbuffered: what was not read here is still there for communicate.
        bufsize=0,
        env=mesh.environment,
    )


def leave_after_first_words(chat: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Interrupt it once it has shown something; what it showed, and what it said about it."""
    assert chat.stdout is not None
    first = chat.stdout.read(20)
    chat.send_signal(signal.SIGINT)
    rest, notes = chat.communicate(timeout=20)
    assert chat.returncode == 130
    return (first + rest).decode().removesuffix("\n"), notes.decode()


def test_once_prints_the_answer_and_what_it_cost(mesh: Mesh) -> None:
    result = mesh.command("chat", "--once", "tokens=30")
    assert result.returncode == 0, result.stderr
    assert result.stdout == expected_text("tokens=30") + "\n"
    assert "30 out, 0.0000" in result.stderr
    assert "USD" in result.stderr


def test_an_answer_left_by_ctrl_c_is_picked_up_where_it_was_left(mesh: Mesh) -> None:
    question = "tokens=150 rate=50"
    shown, notes = leave_after_first_words(begin(mesh, "--once", question))
    assert "Come back: " in notes
    assert "--resume" in notes
    assert "Stop it: " in notes
    assert 0 < len(shown) < len(expected_text(question))
    resumed = mesh.command("chat", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert shown + resumed.stdout == expected_text(question) + "\n"
    # Once it has ended, coming back shows the whole of it.
    again = mesh.command("chat", "--resume")
    assert again.stdout == expected_text(question) + "\n"


def test_an_answer_that_was_left_can_be_stopped(mesh: Mesh) -> None:
    shown, _ = leave_after_first_words(begin(mesh, "--once", "tokens=5000 rate=20"))
    stopped = mesh.command("chat", "--stop")
    assert stopped.returncode == 0
    assert "is being stopped" in stopped.stderr
    resumed = mesh.command("chat", "--resume")
    assert "stopped · " in resumed.stderr
    assert expected_text("tokens=5000 rate=20").startswith(shown + resumed.stdout.rstrip("\n"))
    assert "had ended before" in mesh.command("chat", "--stop").stderr


def test_the_other_gateway_takes_the_viewer_over(mesh: Mesh) -> None:
    question = "tokens=100 rate=50 seed=3"
    chat = begin(mesh, "--once", question)
    assert chat.stdout is not None
    first = chat.stdout.read(20)
    killed = mesh.signal("gateway-1", signal.SIGKILL)
    rest, notes = chat.communicate(timeout=40)
    assert chat.returncode == 0, notes
    assert (first + rest).decode() == expected_text(question) + "\n"
    asyncio.run(mesh.wait_ready(changed={"gateway-1": killed}))


def test_a_refusal_is_one_sentence(mesh: Mesh) -> None:
    result = mesh.command("chat", "--once", "hello", "--model", "nobody:nothing")
    assert result.returncode == 1
    assert result.stderr.startswith("everthread: ")
    assert result.stderr.count("\n") == 1


def test_a_failed_answer_has_exit_code_one(mesh: Mesh) -> None:
    result = mesh.command("chat", "--once", "status=400")
    assert result.returncode == 1
    assert "failed (" in result.stderr
