"""`everthread demo chaos` harms nobody else: what it refuses, and what it never kills."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contracts import events as e
from everthread.chaos import Chaos, check_chaos, is_child, kill_part, own_mesh, ready_parts
from everthread.chaos_runs import Watched
from everthread.errors import RefusedError
from everthread.home import Home
from everthread.state import MeshState, PartState, write_state

CHAOS = Chaos(
    runs=3, at_once=3, kills=2, seconds=10, kinds=("inference",), seed=1, text="x", model=None, user="chaos"
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose `up` is this process."""
    found = Home(tmp_path / "home")
    found.prepare()
    with found.locked():
        yield found


def state(url: str = "http://127.0.0.1:1", *, pid: int | None = None, issuer: str = "development") -> MeshState:
    return MeshState(pid=pid or os.getpid(), urls=[url], issuer=issuer, uses={}, parts=[])


def part(pid: int, status: str = "ready") -> PartState:
    return PartState(name="inference-1", pid=pid, port=1, state=status, health_port=1, probe="/readyz")  # type: ignore[arg-type]  # the words of a test


@pytest.mark.parametrize("change", [{"runs": 51}, {"kills": 0}, {"seconds": 601}, {"kinds": ("mongo",)}, {"kinds": ()}])
def test_it_is_bounded(change: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        check_chaos(replace(CHAOS, **change))  # type: ignore[arg-type]  # as the parameters have it


def test_a_mesh_that_is_not_this_homes_own_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="nothing runs"):
        own_mesh(Home(tmp_path / "other"))
    for foreign, why in (
        (state("http://chat.example.com"), "not on this machine"),
        (state(pid=1), "is not of the `up`"),
        (state(issuer="https://id.example.com"), "identity provider"),
    ):
        write_state(home.state, foreign)
        with pytest.raises(RefusedError, match=why):
            own_mesh(home)
    write_state(home.state, state())
    assert own_mesh(home).pid == os.getpid()


def test_only_a_child_of_this_homes_up_is_killed(home: Home) -> None:
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        try:
            assert not kill_part(home, part(grandchild))
            os.kill(grandchild, 0)
            assert kill_part(home, part(child.pid))
            assert child.wait(10) == -9
            assert not kill_part(home, part(child.pid))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(grandchild, 9)


def test_where_no_up_is_known_nothing_is_its_child() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait(10)
    assert not any(is_child(gone.pid, supervisor) for supervisor in (None, 0, os.getpid()))
    assert not is_child(1, 0), "the first process of a machine has no parent"


def test_what_is_not_ready_is_left_alone(home: Home) -> None:
    mesh = state()
    mesh.parts = [part(99, "starting"), part(0), part(98)]
    write_state(home.state, mesh)
    assert [found.pid for found in ready_parts(home)] == [98]


def test_gaps_and_doubles_on_the_screen_are_counted() -> None:
    watched = Watched(number=1)
    for sequence in (1, 2, 2, 5):
        event = e.TextDelta(thread_id="t", run_id="r", sequence=sequence, attempt=1, at="", part=0, delta="x")
        watched.apply(event)
    assert (watched.gaps, watched.doubles, watched.sound) == (2, 1, False)
