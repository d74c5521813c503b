"""`task test`: every part of the suite, whatever an earlier one found; then what failed, all of it.

Two lanes side by side. In one, the tests of everything but the page, in several processes, a file at a time in one of them: each
process has servers and meshes of its own, and one that waits for a death to be noticed leaves its core to the others. In the other,
one after the other: types and lint, the alerts, the page in a browser. No test may measure a time, so being one of several makes it
slower and nothing else. What is given on the command line goes to each pytest.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSER = "tests/browser"
AT_ONCE = min(6, (os.cpu_count() or 1) + 1)
"""Processes of tests. One keeps two fifths of a core busy, measured over all of them, and waits the rest of its time."""
NOTHING_COLLECTED = 5
"""pytest's exit code; right for a part where what to run was chosen on the command line."""


@dataclass(frozen=True)
class Part:
    """One part: a command, run from the project's folder."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """How a part ended, and what it printed if that was kept."""

    part: Part
    code: int
    seconds: float
    output: str | None


def tests(chosen: Sequence[str]) -> Part:
    """Everything but the page. `chosen`: what pytest is given besides."""
    spread = ["-n", str(AT_ONCE), "--dist", "loadfile", "--no-loadscope-reorder"]
    return Part("tests", ["pytest", *spread, f"--ignore={BROWSER}", *chosen])


def beside(chosen: Sequence[str]) -> Iterator[Part]:
    """The other lane."""
    yield Part("check", ["task", "check"])
    if shutil.which("promtool"):
        yield Part("alerts", ["task", "alerts:test"])
    else:
        print("What the alerts do is tested where Prometheus's promtool is installed; it is not here.", flush=True)
    yield Part("browser", ["task", "--exit-code", "test:browser", "--", *chosen])


def run(part: Part, *, quietly: bool = False) -> Outcome:
    """Run it to its end. `quietly`: what it prints is kept instead of shown."""
    if not quietly:
        print(_heading(part), flush=True)
    began = time.monotonic()
    kept = subprocess.PIPE if quietly else None
    ended = subprocess.run(
        part.command, cwd=ROOT, check=False, stdout=kept, stderr=subprocess.STDOUT if quietly else None, text=True
    )
    return Outcome(part, ended.returncode, time.monotonic() - began, ended.stdout)


def _heading(part: Part) -> str:
    return f"\n=== {part.name}: {' '.join(part.command)}"


def main(chosen: Sequence[str]) -> int:
    """Run every part; 1 where one failed."""
    good = {0, NOTHING_COLLECTED} if chosen else {0}
    with ThreadPoolExecutor(1) as lane:
        others = [lane.submit(run, part, quietly=True) for part in beside(chosen)]
        outcomes = [run(tests(chosen))]
        for other in others:
            outcome = other.result()
            print(f"{_heading(outcome.part)}\n{outcome.output}", flush=True)
            outcomes.append(outcome)
    print("\n=== all parts")
    for outcome in outcomes:
        verdict = "passed" if outcome.code in good else f"FAILED ({outcome.code})"
        print(f"{verdict:12} {outcome.seconds:6.0f} s  {outcome.part.name}")
    return 0 if all(outcome.code in good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
