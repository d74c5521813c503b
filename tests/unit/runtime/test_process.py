"""The life of a real process: signals, drain, exit codes, the one sentence of a failed start."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

HEAD = """
import asyncio, logging, structlog, sys
from runtime.process import ConfigurationError, Process, StartupError, run
from runtime.settings import ServiceSettings, load_settings
log = structlog.get_logger()
"""
TAIL = "\nrun('demo', load_settings(ServiceSettings), main)\nlog.info('returned')\n"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVERTHREAD_", "OTEL_"))}
    return kept | {"NATS_URL": "nats://demo:hunter2@127.0.0.1:1", "EVERTHREAD_INSTANCE": "demo-1", **(extra or {})}


def finish(tmp_path: Path, main: str, **extra: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(HEAD + dedent(main) + TAIL)
    return subprocess.run(
        [sys.executable, str(script)], env=environment(extra), capture_output=True, text=True, timeout=30, check=False
    )


def start(tmp_path: Path, main: str, **extra: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(HEAD + dedent(main) + TAIL)
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=environment(extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], event: str) -> dict[str, object]:
    assert process.stdout is not None
    for line in process.stdout:
        entry: dict[str, object] = json.loads(line)
        if entry["event"] == event:
            return entry
    raise AssertionError(f"{event} was never logged; the process said: {rest(process)[1]}")


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still says until it ends. (`communicate` would miss what the reader of lines already holds.)"""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        said = process.stdout.read(), process.stderr.read()
    process.wait(timeout=20)
    return said


def events(output: str) -> list[str]:
    return [json.loads(line)["event"] for line in output.splitlines()]


WAITS = """
async def main(process: Process) -> None:
    process.health.check("here", lambda: True)
    log.info("waiting")
    await process.stopping.wait()
    log.info("draining", ready=(await process.health.readiness())[0])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, WAITS)
    until(process, "waiting")
    process.send_signal(number)
    assert until(process, "draining")["ready"] is False
    output, errors = rest(process)
    assert process.returncode == 0
    assert events(output) == ["process.stopped", "returned"]
    assert errors == ""


def test_a_signal_while_starting_waits_for_nothing(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        async def main(process: Process) -> None:
            log.info("connecting")
            await asyncio.Event().wait()
        """,
    )
    until(process, "connecting")
    process.terminate()
    output, errors = rest(process)
    assert (process.returncode, errors) == (0, "")
    assert events(output) == ["process.stopping", "process.stopped", "returned"]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        async def main(process: Process) -> None:
            process.health.check("here", lambda: True)
            log.info("waiting")
            await process.stopping.wait()
            log.info("draining")
            await asyncio.Event().wait()
        """,
    )
    until(process, "waiting")
    process.terminate()
    until(process, "draining")
    process.terminate()
    rest(process)
    assert process.returncode == 128 + signal.SIGTERM


def test_after_the_drain_budget_main_is_cancelled(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        async def main(process: Process) -> None:
            process.health.check("here", lambda: True)
            log.info("waiting")
            try:
                await asyncio.Event().wait()
            finally:
                log.info("cleaning")
        """,
        EVERTHREAD_DRAIN_SECONDS="0.1",
    )
    until(process, "waiting")
    process.terminate()
    until(process, "cleaning")
    _, errors = rest(process)
    assert process.returncode == 1
    assert "did not drain within 0.1 s" in errors


@pytest.mark.parametrize(
    ("raised", "said", "code"),
    [
        ("StartupError('the NATS server is 2.9.0; 2.12.0 is needed')", "2.9.0; 2.12.0 is needed", 1),
        ("OSError(98, 'Address already in use')", "is taken", 1),
        ("ExceptionGroup('several', [StartupError('no replica set')])", "no replica set", 1),
        ("ExceptionGroup('one', [ConfigurationError('A is set, so B is needed')])", "so B is needed", 78),
    ],
)
def test_a_failed_start_is_one_sentence(tmp_path: Path, raised: str, said: str, code: int) -> None:
    result = finish(tmp_path, f"async def main(process: Process) -> None:\n    raise {raised}\n")
    assert result.returncode == code
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_a_sentence_that_was_said_is_the_last_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = finish(
        tmp_path,
        f"""
        async def main(process: Process) -> None:
            await asyncio.open_connection("127.0.0.1", {port})
            print("demo: said", file=sys.stderr)
            raise SystemExit(78)
        """,
        EVERTHREAD_HEALTH_PORT=str(port),
    )
    assert (result.returncode, result.stderr) == (78, "demo: said\n")
    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == ["process.started"]


def test_a_bug_is_logged_with_its_traceback(tmp_path: Path) -> None:
    result = finish(tmp_path, "async def main(process: Process) -> None:\n    raise KeyError('k')\n")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    failed = [json.loads(line) for line in result.stdout.splitlines()][-1]
    assert failed["event"] == "process.failed"
    assert "KeyError" in failed["exception"]


def test_a_taken_health_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = finish(tmp_path, WAITS, EVERTHREAD_HEALTH_PORT=str(port))
    assert result.returncode == 1
    assert f"127.0.0.1:{port} is taken" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_logs_are_json_without_texts_and_secrets(tmp_path: Path) -> None:
    result = finish(
        tmp_path,
        """
        async def main(process: Process) -> None:
            log.info("message.accepted", content="canary one", run_id="run_1", url="nats://a:canary-two@h:1")
            logging.getLogger("nats.aio").warning("lost %s", "nats://a:canary-two@h:1")
            logging.getLogger("openai").debug("Request options: canary one")
            try:
                secret_local = "canary three"
                raise ValueError("bad")
            except ValueError:
                log.exception("failed")
        """,
        EVERTHREAD_LOG_LEVEL="debug",
    )
    assert result.returncode == 0, result.stderr
    entries = [json.loads(line) for line in result.stdout.splitlines()]
    accepted = next(entry for entry in entries if entry["event"] == "message.accepted")
    assert accepted["content"] == "[withheld, 10 characters]"
    assert (accepted["service"], accepted["instance"], accepted["level"]) == ("demo", "demo-1", "info")
    assert accepted["run_id"] == "run_1"
    assert "canary-two" not in result.stdout
    assert "canary one" not in result.stdout
    # The line of code in a traceback is ours to show; values of local variables are not printed.
    assert result.stdout.count("canary three") == result.stdout.count('secret_local = \\"canary three')
    assert any(entry["event"] == "lost nats://***@h:1" and entry["logger"] == "nats.aio" for entry in entries)


def test_console_format_is_for_people(tmp_path: Path) -> None:
    result = finish(
        tmp_path,
        "async def main(process: Process) -> None:\n    log.info('message.accepted', content='canary')\n",
        EVERTHREAD_LOG_FORMAT="console",
    )
    assert result.returncode == 0, result.stderr
    assert "message.accepted" in result.stdout
    assert "canary" not in result.stdout
    assert not result.stdout.startswith("{")
