"""Where `everthread loadtest` sends to, and as whom."""

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home
from everthread.keys import mint
from everthread.reach import running
from everthread.trace import read_token

_TOKEN_SECONDS: Final = 300


def target_of(
    home: Home, urls: list[str], *, user: str, token_file: Path | None
) -> tuple[list[str], Callable[[], str] | str]:
    """The gateways, and a token or what makes one. Raises RefusedError."""
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RefusedError(f"{url!r} is no address of a gateway; write http://host:8080", EXIT_USAGE)
    mesh = running(home)
    token = read_token(token_file)
    found = [url.rstrip("/") for url in urls] or ([] if mesh is None else mesh.urls)
    if not found:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up`, or name a gateway")
    if token is not None:
        return found, token
    if mesh is None or mesh.issuer != "development":
        raise RefusedError(
            "that address takes tokens from an identity provider; give one with --token-file", EXIT_USAGE
        )
    return found, lambda: mint(home.dev_key, user=user, role="user", lifetime=_TOKEN_SECONDS)
