"""Kills workers of the mesh that `everthread up --demo` runs on this machine: `ports.DemoWorkers`."""

import json
import os
import signal
from pathlib import Path
from typing import Final


class WorkersOfThisMachine:
    """`state` is the file in which `up` writes which process is which."""

    def __init__(self, state: Path) -> None:
        self._state: Final = state

    def kill(self, instance: str) -> int | None:
        """See ports.DemoWorkers."""
        try:
            parts = json.loads(self._state.read_text("utf-8"))["parts"]
            pid = next((part["pid"] for part in parts if part["name"] == instance), 0)
            if not isinstance(pid, int) or pid <= 1 or not instance.startswith("inference-"):
                return None
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid
