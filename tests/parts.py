"""`task test`: every part of the suite, one after the other, whatever an earlier one found; then what failed, all of it.

The alerts are tested beside the types, since mypy keeps one core busy and no more. The tests run in several processes, a file at a
time in one of them: each process has servers and meshes of its own, and one that waits for a death to be noticed leaves its core to
the others. No test may measure a time, so being one of several makes it slower and nothing else. What is given on the command line
goes to each pytest.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSER = "tests/browser"
AT_ONCE = min(6, (os.cpu_count() or 1) + 1)
"""Processes of tests. A test that starts a mesh keeps about two fifths of two cores busy."""
NOTHING_COLLECTED = 5
"""pytest's exit code; right for a part where what to run was chosen on the command line."""


@dataclass(frozen=True)
class Part:
    """One part: a command, run from the project's folder. `beside`: while it runs, another part does, whose output follows."""

    name: str
    command: Sequence[str]
    beside: "Part | None" = None


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    name: str
    code: int
    seconds: float


def parts(chosen: Sequence[str]) -> list[Part]:
    """All of them, in order. `chosen`: what pytest is given besides."""
    alerts = Part("alerts", ["task", "alerts:test"]) if shutil.which("promtool") else None
    if alerts is None:
        print("What the alerts do is tested where Prometheus's promtool is installed; it is not here.", flush=True)
    spread = ["-n", str(AT_ONCE), "--dist", "loadfile"]
    return [
        Part("check", ["task", "check"], beside=alerts),
        Part("tests", ["pytest", *spread, f"--ignore={BROWSER}", *chosen]),
        Part("browser", ["task", "--exit-code", "test:browser", "--", "-n", "2", "--dist", "loadfile", *chosen]),
    ]


def run(part: Part) -> list[Outcome]:
    """Run it, and what goes beside it."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        other: subprocess.Popen[bytes] | None = None
        if part.beside is not None:
            other = subprocess.Popen(part.beside.command, cwd=ROOT, stdout=output, stderr=output)
        print(f"\n=== {part.name}: {' '.join(part.command)}", flush=True)
        code = subprocess.run(part.command, cwd=ROOT, check=False).returncode
        ended = [Outcome(part.name, code, time.monotonic() - began)]
        if part.beside is not None and other is not None:
            ended.append(Outcome(part.beside.name, other.wait(), time.monotonic() - began))
            output.seek(0)
            print(f"\n=== {part.beside.name}: {' '.join(part.beside.command)}\n{output.read()}", flush=True)
    return ended


def main(chosen: Sequence[str]) -> int:
    """Run every part; 1 where one failed."""
    good = {0, NOTHING_COLLECTED} if chosen else {0}
    outcomes = [outcome for part in parts(chosen) for outcome in run(part)]
    print("\n=== all parts")
    for outcome in outcomes:
        verdict = "passed" if outcome.code in good else f"FAILED ({outcome.code})"
        print(f"{verdict:12} {outcome.seconds:6.0f} s  {outcome.name}")
    return 0 if all(outcome.code in good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
