"""Three terminals in one thread, as owner, editor and viewer: each sees what the others do while it types, and what happened
while it was away."""

import asyncio
import os
import re
import signal
import urllib.request

import pytest
from contracts.ids import user_id_of

from tests.mesh import COMMAND, Mesh
from tests.terminal import Terminal
from tests.upstream_script import expected_text


def chat(mesh: Mesh, user: str, *arguments: str) -> Terminal:
    return Terminal([COMMAND, "chat", "--user", user, "--home", str(mesh.home), *arguments], mesh.environment)


def invited(owner: Terminal, role: str) -> str:
    """A token for one more person, as it stands on the owner's screen."""
    owner.enter(f"/invite {role}")
    shown = owner.until(f"For one {role}, for a day")
    owner.until(lambda text: re.search(rf"For one {role}, .*/join \S+", text) is not None)
    found = re.search(rf"For one {role}, .*/join (\S+)", owner.text())
    assert found, shown
    return found[1]


def words(text: str) -> str:
    """Without where its lines were broken."""
    return re.sub(r"\s+", "", text)


def last_line(text: str) -> str:
    return next(line for line in reversed(text.splitlines()) if line.startswith(("you>", "watching>")))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_people_see_one_conversation_while_they_type(mesh: Mesh) -> None:
    with chat(mesh, "anna") as anna, chat(mesh, "ben") as ben, chat(mesh, "carl") as carl:
        anna.until("you>")
        anna.enter("tokens=3")
        anna.until("3 out")
        for other, role in ((ben, "editor"), (carl, "viewer")):
            other.until("you>")
            token = invited(anna, role)
            for word, said in (("n", "You have not joined"), ("y", f"you are its {role}")):
                other.enter(f"/join {token}")
                asked = other.until(lambda text: any(line.startswith("join? [y/n]") for line in text.splitlines()))
                assert words(f"An invitation to “tokens=3”, as {role}, from usr_…") in words(asked)
                other.enter(word)
                other.until(said)
            shown = other.until(f"you are its {role}")
            assert words(expected_text("tokens=3")) in words(shown)
        thread = re.search(r"thr_\w+", anna.text())
        assert thread is not None

        # What one writes appears at the others, under their name, and what they are typing stays where it is.
        anna.type("half a thought")
        ben.enter("tokens=400 rate=40 seed=2")
        start = words(expected_text("tokens=12 seed=2"))[:60]
        for watcher in (anna, carl):
            shown = watcher.until(lambda text: start in words(text))
            assert re.search(r"usr_…\w{6}:\ntokens=400", shown)
        assert last_line(anna.until("writing")) == "you> half a thought"

        # A viewer is told why they may not write, and the answer goes on above.
        carl.enter("may I?")
        assert "ask its owner to make you an editor" in carl.until("You may watch this thread but not write in it")
        assert last_line(carl.until("watching> may I?")) == "watching> may I?"

        # A viewer whose gateway dies sees the rest by another one; who stopped it is said to everybody.
        killed = mesh.signal("gateway-1", signal.SIGKILL)
        anna.type("\x03")
        anna.enter("/stop")
        anna.until("stopped by you")
        for watcher in (ben, carl):
            assert re.search(r"stopped by usr_…\w{6}", watcher.until("stopped by"))

        # Who was away finds a mark and all that was said meanwhile.
        carl.type("\x03\x04")
        carl.process.wait(20)
        ben.enter("tokens=5 seed=3")
        ben.until("5 out")
        with chat(mesh, "carl", "--thread", thread[0]) as back:
            shown = back.until("--- new since you were here: 2 messages, 1 by others ---")
            assert words(expected_text("tokens=5 seed=3")) in words(
                back.until(lambda text: "usr_…" in text.rpartition("--- new")[2])
            )
            assert shown.count("half a thought") == 0

            # Somebody who is taken out is told so at once, and sees nothing more.
            member = user_id_of("everthread-dev", "carl")
            request = urllib.request.Request(
                f"{mesh.urls[1]}/v1/threads/{thread[0]}/members/{member}",
                method="DELETE",
                headers={"authorization": f"Bearer {mesh.token('anna')}"},
            )
            urllib.request.urlopen(request).close()
            back.until("You are not in this thread any more.")
            os.kill(back.process.pid, signal.SIGINT)
            back.process.wait(20)
    asyncio.run(mesh.wait_ready(changed={"gateway-1": killed}))
