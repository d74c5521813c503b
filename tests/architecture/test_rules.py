"""The dependency rules, and generated code that is what its source generates."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_parts_import_only_what_the_design_allows() -> None:
    result = _run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert result.returncode == 0, result.stdout


def test_generated_rpc_code_is_current() -> None:
    result = _run(sys.executable, "libs/rpc/generate.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr
