"""`task test`: every part of the suite, one after the other, whatever an earlier one found; then what failed, all of it.

Tests of pure code and of the bus against a server of its own run in two processes, a file at a time in one of them. Everything
else starts whole meshes and kills them, and measures nothing but is sensitive to what else the machine does: one at a time.
What is given on the command line goes to each pytest.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = ("tests/unit", "tests/architecture", "tests/contracts", "tests/conformance")
BROWSER = "tests/browser"
NOTHING_COLLECTED = 5
"""pytest's exit code; right for a part where what to run was chosen on the command line."""


@dataclass(frozen=True)
class Part:
    """One part: a command, run from the project's folder."""

    name: str
    command: Sequence[str]


def parts(chosen: Sequence[str]) -> list[Part]:
    """All of them, in order. `chosen`: what pytest is given besides."""
    apart = [f"--ignore={folder}" for folder in (*AT_ONCE, BROWSER)]
    found = [
        Part("check", ["task", "check"]),
        Part("unit and conformance", ["pytest", "-n", "2", "--dist", "loadfile", *AT_ONCE, *chosen]),
        Part("integration and end to end", ["pytest", *apart, *chosen]),
        Part("browser", ["task", "--exit-code", "test:browser", "--", *chosen]),
    ]
    if shutil.which("promtool"):
        found.insert(1, Part("alerts", ["task", "alerts:test"]))
    else:
        print("What the alerts do is tested where Prometheus's promtool is installed; it is not here.", flush=True)
    return found


def main(chosen: Sequence[str]) -> int:
    """Run every part; 1 where one failed."""
    outcomes = []
    for part in parts(chosen):
        print(f"\n=== {part.name}: {' '.join(part.command)}", flush=True)
        began = time.monotonic()
        code = subprocess.run(part.command, cwd=ROOT, check=False).returncode
        good = code == 0 or (code == NOTHING_COLLECTED and bool(chosen))
        outcomes.append((part, good, code, time.monotonic() - began))
    print("\n=== all parts")
    for part, good, code, seconds in outcomes:
        print(f"{'passed' if good else f'FAILED ({code})':12} {seconds:6.0f} s  {part.name}")
    return 0 if all(good for _, good, _, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
