"""How the command says no: one sentence on stderr, and an exit code."""

import errno
from pathlib import Path
from typing import Final

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_SIGNALLED: Final = 128
"""Plus the signal's number, as shells have it."""


class RefusedError(Exception):
    """The command cannot do what was asked. The text is one sentence for a person: what happened and what to do."""

    def __init__(self, sentence: str, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def explain_os_error(error: OSError, path: Path) -> str:
    """One sentence about a failed file operation below `path`."""
    place = error.filename or path
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk that holds {path} is full; free some space and start again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{place} cannot be written by this user; choose another folder with --home"
        case errno.ENOENT:
            return f"{place} cannot be made there; choose another folder with --home"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{place} is a file where a folder is needed; choose another folder with --home"
        case _:
            return f"{place}: {error.strerror or error}"
