"""Print the Secrets that deploy/k8s refers to, with new passwords: `python deploy/k8s/make_secrets.py | kubectl apply -f -`, once.

The NATS users and their permissions come from bus.permissions. At an upgrade run it with `--keep FILE`, a JSON object of the
passwords by user: `--print-passwords` writes one to standard output instead of the Secrets, and with both FILE's passwords and new
ones for the users that have none there.
MongoDB's address and the providers' keys are not made here: see docs/deploying.md.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bus.permissions import USERS
from bus.server_config import accounts

NAMESPACE: Final = "everthread"
ADDRESS: Final = "nats:4222"
SERVICES: Final = ("gateway", "conversation", "inference", "notifier")


def new_passwords() -> dict[str, str]:
    """One for each user, and one for the system account's."""
    return {user: secrets.token_urlsafe(32) for user in (*USERS, "system")}


def manifests(passwords: Mapping[str, str]) -> list[dict[str, Any]]:
    """The Secrets as Kubernetes objects. Raises ValueError where a user has no password."""
    missing = sorted({*USERS, "system"} - passwords.keys())
    if missing:
        raise ValueError(f"no password for {', '.join(missing)}")
    urls = {user: f"nats://{user}:{passwords[user]}@{ADDRESS}" for user in SERVICES}
    config = json.dumps({"accounts": accounts(passwords)}, indent=2)
    # An included file is spliced into an object, so it has no braces of its own.
    section = config.strip().removeprefix("{").removesuffix("}")
    return [
        _secret("nats-accounts", {"accounts.conf": section}),
        _secret("nats-urls", urls),
        _secret("nats-admin", {"url": f"nats://admin:{passwords['admin']}@{ADDRESS}"}),
        _secret("mongodb-password", {"password": secrets.token_urlsafe(32)}),
    ]


def _secret(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "everthread"}},
        "stringData": dict(data),
    }


def main() -> None:
    """Print."""
    arguments = argparse.ArgumentParser(description="Secrets for deploy/k8s")
    arguments.add_argument("--keep", type=Path, help="a JSON file of passwords by user")
    arguments.add_argument("--print-passwords", action="store_true", help="print new passwords as JSON, and no Secrets")
    given = arguments.parse_args()
    passwords = new_passwords() if given.keep is None else json.loads(given.keep.read_text("utf-8"))
    if given.print_passwords:
        json.dump({**new_passwords(), **passwords}, sys.stdout, indent=2)
        return
    try:
        items = manifests(passwords)
    except ValueError as error:
        sys.exit(
            f"{given.keep}: {error}; the same command with --print-passwords as well prints that file with what it lacks"
        )
    if given.keep is not None:
        # MongoDB's operator has taken this one; a new one would change the database's user.
        items = [item for item in items if item["metadata"]["name"] != "mongodb-password"]
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
