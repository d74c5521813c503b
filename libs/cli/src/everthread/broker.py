"""The embedded broker's users: one per service, with a password of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bus.permissions import USERS
from bus.server_config import render

from everthread.ports import LOOPBACK

USER_NAMES: Final = tuple(USERS)


def broker_config(port: int, monitor_port: int, data: Path, passwords: Mapping[str, str]) -> str:
    """nats-server's configuration for the mesh; `passwords` has one for each of USER_NAMES."""
    return render(port=port, monitor_port=monitor_port, store_dir=data, passwords=passwords)


def user_urls(port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """Per user, where and as whom to connect."""
    return {user: f"nats://{user}:{password}@{LOOPBACK}:{port}" for user, password in passwords.items()}
