"""Start arize-phoenix with all its ports on loopback. Run in its own environment: see observe.py.

Its HTTP address is a setting, its gRPC port opens on all interfaces whatever one sets; so the one call that opens it is given
another address. Nothing of Everthread is imported here, and Phoenix is told to call nobody.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import grpc.aio

LOOPBACK = "127.0.0.1"


def on_loopback(make: Callable[..., Any]) -> Callable[..., Any]:
    """A `grpc.aio.server` whose servers listen on loopback only."""

    def server(*arguments: Any, **options: Any) -> Any:
        made = make(*arguments, **options)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(f"{LOOPBACK}:{address.rpartition(':')[2]}")
        return made

    return server


def main() -> None:
    """Serve until stopped."""
    os.environ |= {
        "PHOENIX_HOST": LOOPBACK,
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    grpc.aio.server = on_loopback(grpc.aio.server)
    from phoenix.server.main import main as serve

    sys.argv = ["phoenix", "serve"]
    serve()


if __name__ == "__main__":
    main()
