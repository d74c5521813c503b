"""The embedded broker's users: one per service, with a password of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bus.permissions import USERS
from bus.server_config import render

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home, kept_passwords
from everthread.ports import LOOPBACK
from everthread.state import read_state

USER_NAMES: Final = tuple(USERS)


def broker_config(port: int, monitor_port: int, data: Path, passwords: Mapping[str, str]) -> str:
    """nats-server's configuration for the mesh; `passwords` has one for each of USER_NAMES."""
    return render(port=port, monitor_port=monitor_port, store_dir=data, passwords=passwords)


def address_of(home: Home, user: str) -> str:
    """The embedded broker's address for one user, in a mesh that runs. Raises RefusedError."""
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is None:
        raise RefusedError(f"no mesh runs in {home.root}; start one with `everthread up`")
    ports = {part.name: part.port for part in mesh.parts}
    if "nats" not in ports:
        raise RefusedError(f"the mesh in {home.root} uses a broker of yours; its users are yours, too")
    if user not in USER_NAMES:
        raise RefusedError(f"the broker has no user {user!r}; it has {', '.join(USER_NAMES)}", EXIT_USAGE)
    return user_urls(ports["nats"], kept_passwords(home.secrets, USER_NAMES))[user]


def user_urls(port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """Per user, where and as whom to connect."""
    return {user: f"nats://{user}:{password}@{LOOPBACK}:{port}" for user, password in passwords.items()}
