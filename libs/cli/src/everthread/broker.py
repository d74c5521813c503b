"""The embedded broker's users: one per service, with a password of its own."""

from collections.abc import Mapping
from pathlib import Path

from everthread.embedded import plain_nats_config
from everthread.ports import LOOPBACK


def broker_config(port: int, data: Path, passwords: Mapping[str, str]) -> str:
    """nats-server's configuration for the mesh."""
    return plain_nats_config(port, data)


def service_urls(port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """Per service, where and as whom it connects."""
    return dict.fromkeys(passwords, f"nats://{LOOPBACK}:{port}")
