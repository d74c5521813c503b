"""`task test`: every part of the suite, whatever an earlier one found; then what failed, all of it.

The tests run in several processes, a file at a time in one of them: each process has servers and meshes of its own, and one that
waits for a death to be noticed leaves its core to the others. Types, lint and alerts are looked at beside them. No test may measure a
time, so being one of several makes it slower and nothing else. What is given on the command line goes to each pytest.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSER = "tests/browser"
AT_ONCE = min(6, (os.cpu_count() or 1) + 1)
"""Processes of tests. One keeps two fifths of a core busy, measured over all of them, and waits the rest of its time. Four on two
cores left so little to each that tests which wait for something failed now and then."""
NOTHING_COLLECTED = 5
"""pytest's exit code; right for a part where what to run was chosen on the command line."""


@dataclass(frozen=True)
class Part:
    """One part: a command, run from the project's folder. `beside`: while it runs, others do, whose outputs follow."""

    name: str
    command: Sequence[str]
    beside: Sequence["Part"] = ()


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    name: str
    code: int
    seconds: float


def parts(chosen: Sequence[str]) -> list[Part]:
    """All of them, in order. `chosen`: what pytest is given besides."""
    beside = [Part("check", ["task", "check"])]
    if shutil.which("promtool"):
        beside.append(Part("alerts", ["task", "alerts:test"]))
    else:
        print("What the alerts do is tested where Prometheus's promtool is installed; it is not here.", flush=True)
    spread = ["--dist", "loadfile", "--no-loadscope-reorder"]
    return [
        Part("tests", ["pytest", "-n", str(AT_ONCE), *spread, f"--ignore={BROWSER}", *chosen], beside),
        Part("browser", ["task", "--exit-code", "test:browser", "--", "-n", "2", *spread, *chosen]),
    ]


def run(part: Part) -> list[Outcome]:
    """Run it, and what goes beside it."""
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(_beside, other) for other in part.beside]
        began = time.monotonic()
        print(f"\n=== {part.name}: {' '.join(part.command)}", flush=True)
        code = subprocess.run(part.command, cwd=ROOT, check=False).returncode
        ended = [Outcome(part.name, code, time.monotonic() - began)]
        for other in others:
            outcome, output = other.result()
            print(output, flush=True)
            ended.append(outcome)
    return ended


def _beside(part: Part) -> tuple[Outcome, str]:
    began = time.monotonic()
    ended = subprocess.run(
        part.command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = f"\n=== {part.name}: {' '.join(part.command)}\n{ended.stdout}"
    return Outcome(part.name, ended.returncode, time.monotonic() - began), output


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
