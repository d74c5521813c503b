"""Write deploy/compose/secrets/: a configuration for each NATS server, and each service's address with its password.

Run before `docker compose up`, and again at every upgrade: users and permissions become this version's, passwords stay. Files are
written in place, so that a server that runs sees them: `docker compose exec nats-1 nats-server --signal reload=1` has it take them.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bus.permissions import USERS
from bus.server_config import MAX_PAYLOAD, SYSTEM_ACCOUNT, accounts

FOLDER: Final = Path(__file__).parent / "secrets"
SERVERS: Final = ("nats-1", "nats-2", "nats-3")
SERVICES: Final = ("gateway", "conversation", "inference", "notifier")


def files(kept: Mapping[str, str]) -> dict[str, str]:
    """Every file by its name, with the passwords in `kept` and new ones for users that have none."""
    passwords = {user: kept.get(user) or secrets.token_urlsafe(32) for user in (*USERS, "system")}
    found = {f"{server}.conf": _server(server, passwords) for server in SERVERS}
    for service in SERVICES:
        urls = ",".join(f"nats://{service}:{passwords[service]}@{server}:4222" for server in SERVERS)
        found[f"{service}.env"] = f"NATS_URL={urls}\n"
    return found


def kept_passwords(folder: Path) -> dict[str, str]:
    """The passwords by user that the servers in `folder` know; none where nothing is there yet."""
    file = folder / f"{SERVERS[0]}.conf"
    if not file.exists():
        return {}
    accounts_of = json.loads(file.read_text("utf-8"))["accounts"].values()
    return {user["user"]: user["password"] for account in accounts_of for user in account["users"]}


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
    """Write what is not there yet or not this version's."""
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    changed = []
    for name, text in files(kept_passwords(FOLDER)).items():
        file = FOLDER / name
        if file.exists() and file.read_text("utf-8") == text:
            continue
        # The NATS image runs as root; what the services get goes through compose, which reads it as the caller.
        file.touch(mode=0o600)
        file.write_text(text, "utf-8")
        changed.append(name)
    print(f"wrote {', '.join(changed)} in {FOLDER}" if changed else f"{FOLDER} is this version's already")


if __name__ == "__main__":
    main()
