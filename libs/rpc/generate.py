"""Generate libs/rpc from proto/; with --check, say whether the committed code is what would be generated."""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
TARGET = ROOT / "libs" / "rpc" / "src"


def generate(into: Path) -> list[Path]:
    """Run protoc for every file under proto/ and return the files written, relative to `into`."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    options = [f"--{plugin}_out={into}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *options, *sources],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return sorted(path.relative_to(into) for path in into.rglob("*_pb2*.py*") if "__pycache__" not in path.parts)


def main() -> int:
    if "--check" not in sys.argv:
        print(f"{len(generate(TARGET))} files written to {TARGET.relative_to(ROOT)}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
        stale = [
            path
            for path in fresh
            if not (TARGET / path).exists() or not filecmp.cmp(Path(scratch) / path, TARGET / path, shallow=False)
        ]
        left = {path.relative_to(TARGET) for path in TARGET.rglob("*_pb2*.py*") if "__pycache__" not in path.parts}
    stale.extend(sorted(left - set(fresh)))
    if stale:
        print("libs/rpc is not what proto/ generates; run `uv run task proto` and commit:", *stale, sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
