import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from everthread.child import Child, Program, last_lines
from everthread.errors import RefusedError
from everthread.ps import table
from everthread.state import PartState
from everthread.supervisor import QUICK_CRASHES, Part, Supervisor, delay_before


def part(tmp_path: Path, name: str, code: str, *, stage: int = 0, needs: tuple[str, ...] = ()) -> Part:
    """A part that runs Python code and counts as ready once it has written its file."""
    program = Program(
        name=name,
        arguments=[sys.executable, "-c", code, str(tmp_path / name)],
        environment={},
        log=tmp_path / f"{name}.log",
    )
    return Part(
        name=name,
        port=1,
        health_port=1,
        probe="tcp",
        program=lambda: program,
        ready=(tmp_path / name).exists,
        stage=stage,
        needs=needs,
        grace=5.0,
    )


LASTING = "import sys,time; open(sys.argv[1],'w').close(); time.sleep(600)"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def test_the_first_crash_is_answered_at_once_and_the_waits_grow_to_a_bound() -> None:
    assert [delay_before(crashes) for crashes in range(8)] == [0, 0, 0.5, 1, 2, 4, 8, 8]


async def test_a_killed_part_is_started_again_and_all_are_stopped_in_reverse(tmp_path: Path) -> None:
    stopped: list[str] = []
    parts = [part(tmp_path, "base", LASTING), part(tmp_path, "top", LASTING, stage=1, needs=("base",))]
    supervisor = Supervisor(parts, lambda p: stopped.append(p.name) if p.status == "stopped" else None)
    await supervisor.start()
    first = parts[0].public().pid
    assert parts[0].child is not None
    parts[0].child.signal(signal.SIGKILL)
    await until(lambda: parts[0].status == "ready" and parts[0].public().pid not in (0, first))
    assert parts[0].restarts == 1
    assert parts[1].restarts == 0
    await supervisor.stop()
    assert stopped == ["top", "base"]
    assert not any(p.running for p in parts)


async def test_a_part_is_not_asked_whether_it_is_ready_while_nothing_listens(tmp_path: Path) -> None:
    one, listens, asked = part(tmp_path, "one", LASTING), tmp_path / "one", []

    def ready() -> bool:
        asked.append(listens.exists())
        return len(asked) == 2

    one.ready, one.refuses = ready, lambda: not listens.exists()
    supervisor = Supervisor([one], lambda _: None)
    await supervisor.start()
    assert asked == [True, True]
    await supervisor.stop()


async def test_a_service_that_refuses_its_settings_is_not_started_again(tmp_path: Path) -> None:
    bad = part(
        tmp_path,
        "bad",
        "import sys; sys.exit('EVERTHREAD_X is wrong' if 0 else (print('EVERTHREAD_X is wrong'), 78)[1])",
    )
    supervisor = Supervisor([bad], lambda _: None)
    with pytest.raises(RefusedError, match="bad does not start: exit code 78: EVERTHREAD_X is wrong"):
        await supervisor.start()
    assert bad.restarts == 0
    await supervisor.stop()


async def test_a_part_that_crashes_again_and_again_is_given_up_and_the_rest_runs_on(tmp_path: Path) -> None:
    # It writes its file and so is ready; then it ends.
    crashing = part(
        tmp_path, "crashing", "import sys,time; open(sys.argv[1],'w').close(); time.sleep(0.1); sys.exit(3)"
    )
    steady = part(tmp_path, "steady", LASTING)
    supervisor = Supervisor([crashing, steady], lambda _: None, delay=lambda _: 0.0)
    await supervisor.start()
    await until(lambda: crashing.status == "failed")
    assert crashing.restarts == QUICK_CRASHES - 1
    assert crashing.reason.startswith("exit code 3")
    assert steady.running
    await supervisor.stop()


def test_a_long_log_is_set_aside_when_its_writer_starts(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("wb") as file:
        file.truncate(9 * 1024 * 1024)
    program = Program(name="part", arguments=[sys.executable, "-c", "print('new')"], environment={}, log=log)
    child = Child(program)
    child.stop(10)
    assert (tmp_path / "part.log.1").stat().st_size == 9 * 1024 * 1024
    assert last_lines(log) in ("", "new")


def test_a_program_that_is_not_there_ends_with_a_sentence_in_its_log(tmp_path: Path) -> None:
    child = Child(Program(name="gone", arguments=["/nowhere/gone"], environment={}, log=tmp_path / "gone.log"))
    while child.exit_code is None:
        time.sleep(0.01)
    assert child.exit_code == 127
    assert child.last_lines() == "cannot start /nowhere/gone: No such file or directory"


def test_a_program_stands_back_and_sleeps_longer_where_it_may(tmp_path: Path) -> None:
    said = "import os,time; time.sleep(0.2); print(os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0), os.getpgrp())"
    linux = sys.platform == "linux"
    said += "; print(open('/proc/self/timerslack_ns').read().strip())" if linux else ""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    for niceness, slack in ((0, 0), (3, 123_456)):
        log = tmp_path / f"{niceness}.log"
        program = Program(
            name="one",
            arguments=[sys.executable, "-c", said],
            environment={},
            log=log,
            niceness=niceness,
            timer_slack=slack,
        )
        child = Child(program)
        while child.exit_code is None:
            time.sleep(0.01)
        lines = last_lines(log).splitlines()
        nice, session, group = map(int, lines[0].split())
        assert nice == usual + niceness
        # A niceness counts within a session only; the terminal's Ctrl-C must not reach the child all the same.
        assert (session, group) == (os.getsid(0), child.pid)
        assert not linux or (int(lines[1]) == slack) is bool(slack)


def test_the_table_is_aligned_and_coloured_only_when_asked() -> None:
    parts = [
        PartState(name="nats", pid=12, port=4222, state="ready", health_port=1, probe="tcp"),
        PartState(name="gateway-1", pid=0, port=8080, state="failed", health_port=1, probe="/readyz", restarts=5),
    ]
    assert table(parts, colour=False) == [
        "NAME       PID  PORT  STATE   RESTARTS",
        "nats       12   4222  ready   0",
        "gateway-1  -    8080  failed  5",
    ]
    assert "\x1b[31m" in table(parts, colour=True)[2]
