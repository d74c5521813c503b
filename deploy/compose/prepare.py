"""Write deploy/compose/secrets/: a configuration for each NATS server, and each service's address with its password.

Run once, before `docker compose up`; what is there already stays, as the servers know those passwords.
"""

import json
import secrets
from pathlib import Path
from typing import Final

from bus.permissions import USERS
from bus.server_config import MAX_PAYLOAD, SYSTEM_ACCOUNT, accounts

FOLDER: Final = Path(__file__).parent / "secrets"
SERVERS: Final = ("nats-1", "nats-2", "nats-3")
SERVICES: Final = ("gateway", "conversation", "inference", "notifier")


def files() -> dict[str, str]:
    """Every file with new passwords, by its name."""
    passwords = {user: secrets.token_urlsafe(32) for user in (*USERS, "system")}
    found = {f"{server}.conf": _server(server, passwords) for server in SERVERS}
    for service in SERVICES:
        urls = ",".join(f"nats://{service}:{passwords[service]}@{server}:4222" for server in SERVERS)
        found[f"{service}.env"] = f"NATS_URL={urls}\n"
    return found


def _server(name: str, passwords: dict[str, str]) -> str:
    config = {
        "server_name": name,
        "port": 4222,
        "http": "0.0.0.0:8222",
        "max_payload": MAX_PAYLOAD,
        "ping_interval": "10s",
        "ping_max": 2,
        # One machine is one failure domain, however many servers run on it.
        "jetstream": {"store_dir": "/data", "sync_interval": "always", "max_file_store": 64 * 1024**3},
        "cluster": {
            "name": "everthread",
            "port": 6222,
            "routes": [f"nats://{other}:6222" for other in SERVERS if other != name],
        },
        "system_account": SYSTEM_ACCOUNT,
        "accounts": accounts(passwords),
    }
    return json.dumps(config, indent=2) + "\n"


def main() -> None:
    """Write what is not there yet."""
    if FOLDER.is_dir() and any(FOLDER.iterdir()):
        print(f"{FOLDER} is there already; nothing was changed")
        return
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    for name, text in files().items():
        # The NATS image runs as root; what the services get goes through compose, which reads it as the caller.
        (FOLDER / name).touch(mode=0o600)
        (FOLDER / name).write_text(text, "utf-8")
    print(f"wrote {FOLDER}")


if __name__ == "__main__":
    main()
