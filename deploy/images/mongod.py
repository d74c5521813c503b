"""Start the embedded database with the arguments that are given to `mongod`: what has no meaning here is left out."""

import os
import sys
from pathlib import Path

SERVER = "/opt/mongodb/bin/secantusd-py"


def main() -> None:
    """Replace this process by the server."""
    config = Path("/data/db/secantusd.toml")
    # An empty file of ours, or it would look for one elsewhere.
    config.touch()
    arguments = ["--config", str(config), "--host", "0.0.0.0", "--port", "27017", "--storage-path", "/data/db/store"]
    arguments += ["--cache-size", "256M", "--log-level", "WARNING", "--sync-on-commit"]
    if "enableTestCommands=1" in sys.argv:
        arguments.append("--enable-test-commands")
    os.execv(SERVER, [SERVER, *arguments])  # noqa: S606 - its arguments are this file's own


if __name__ == "__main__":
    main()
