"""Commands as the person can paste them."""

import os
import shlex
from pathlib import Path

from everthread.home import DEFAULT_HOME, Home


def hint(home: Home, arguments: str) -> str:
    """`everthread ARGUMENTS` for this home, with what is needed before and after it here."""
    # Set by `uv run`: the command is then in the project's environment and not on the path of the next terminal.
    command = "uv run everthread" if "UV_RUN_RECURSION_DEPTH" in os.environ else "everthread"
    is_default = home.root == Path(DEFAULT_HOME).absolute() and not os.environ.get("EVERTHREAD_HOME")
    return f"{command} {arguments}" + ("" if is_default else f" --home {shlex.quote(str(home.root))}")
