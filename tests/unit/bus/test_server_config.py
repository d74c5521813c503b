"""The rendered configuration."""

import json
from pathlib import Path

import pytest
from bus.permissions import USERS, of_user
from bus.server_config import render

PASSWORDS = dict.fromkeys(USERS, "secret")


def test_is_json_with_one_user_per_service(tmp_path: Path) -> None:
    config = json.loads(render(port=4222, monitor_port=8222, store_dir=tmp_path, passwords=PASSWORDS))
    users = {entry["user"] for entry in config["accounts"]["EVERTHREAD"]["users"]}
    assert users == set(USERS)
    assert config["host"] == "127.0.0.1"
    assert config["jetstream"]["sync_interval"] == "always"


def test_missing_and_unknown_passwords_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing for"):
        render(port=1, monitor_port=2, store_dir=tmp_path, passwords={})
    with pytest.raises(ValueError, match="stranger"):
        render(port=1, monitor_port=2, store_dir=tmp_path, passwords={**PASSWORDS, "stranger": "x"})


def test_only_admin_may_publish_live_or_delete_a_stream() -> None:
    for user in USERS.keys() - {"admin"}:
        publish = of_user(user).publish
        assert not any(subject.startswith((">", "*", "live.")) for subject in publish), user
        assert not any("STREAM.DELETE" in subject for subject in publish), user
