"""The configuration of a nats-server: the embedded one's file, and what production's must agree with (deploy/nats)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from contracts.subjects import DEATH_NOTICES

from bus import permissions

ACCOUNT: Final = "EVERTHREAD"
SYSTEM_ACCOUNT: Final = "SYS"
DISCONNECTS: Final = f"$SYS.ACCOUNT.{ACCOUNT}.DISCONNECT"
MAX_PAYLOAD: Final = 8 * 1024 * 1024
GIB: Final = 1024**3
ANSWERS: Final = 10_000
ANSWER_TIME: Final = "1h"
"""How many messages may answer one request, and until when."""


def render(
    *,
    port: int,
    monitor_port: int,
    store_dir: Path,
    passwords: Mapping[str, str],
    host: str = "127.0.0.1",
    server_name: str = "everthread",
    max_file_store: int = 64 * GIB,
) -> str:
    """The configuration as text (JSON, which nats-server reads).

    `passwords` has one for each of `permissions.USERS`; one for `system` adds a user of the system account. Keep the text
    where only its owner can read it. `max_file_store` is what JetStream may reserve, in bytes: more than the streams' limits
    together, or creating them fails. Raises ValueError where a password is missing or belongs to nobody.
    """
    missing = sorted(permissions.USERS.keys() - passwords.keys())
    unknown = sorted(passwords.keys() - permissions.USERS.keys() - {"system"})
    if missing or unknown:
        raise ValueError(f"passwords: missing for {missing}, of unknown users {unknown}")
    config: dict[str, Any] = {
        "server_name": server_name,
        "host": host,
        "port": port,
        "http": f"{host}:{monitor_port}",
        "max_payload": MAX_PAYLOAD,
        # A client that vanished without closing is noticed, and its death announced, after at most 30 s.
        "ping_interval": "10s",
        "ping_max": 2,
        "jetstream": {"store_dir": str(store_dir), "sync_interval": "always", "max_file_store": max_file_store},
        "system_account": SYSTEM_ACCOUNT,
        "accounts": accounts(passwords),
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def accounts(passwords: Mapping[str, str]) -> dict[str, Any]:
    """The accounts: one for Everthread with its users, and the system account, whose notices of lost clients are imported."""
    system_users = [{"user": "system", "password": passwords["system"]}] if "system" in passwords else []
    return {
        SYSTEM_ACCOUNT: {"users": system_users, "exports": [{"stream": DISCONNECTS, "accounts": [ACCOUNT]}]},
        ACCOUNT: {
            "jetstream": "enabled",
            "imports": [{"stream": {"account": SYSTEM_ACCOUNT, "subject": DISCONNECTS}, "to": DEATH_NOTICES}],
            "users": [_user(user, passwords[user]) for user in permissions.USERS],
        },
    }


def _user(user: str, password: str) -> dict[str, Any]:
    allowed = permissions.of_user(user)
    rendered: dict[str, Any] = {
        "publish": {"allow": list(allowed.publish)},
        "subscribe": {"allow": list(allowed.subscribe)},
    }
    if allowed.answers:
        # A tool's answer is many messages: its progress, then its result.
        rendered["allow_responses"] = {"max": ANSWERS, "expires": ANSWER_TIME}
    return {"user": user, "password": password, "permissions": rendered}
