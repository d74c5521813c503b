import json
import stat
import time
import warnings
from pathlib import Path

import pytest
from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home
from everthread.keys import development_token, ensure_key, mint, parse_lifetime
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    ensure_key(file)
    first = file.read_text()
    ensure_key(file)
    assert file.read_text() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(first).keys() >= {"kty", "crv", "x", "d", "kid"}


def test_a_token_says_who_and_how_long(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    ensure_key(file)
    text = mint(file, user="demo", role="admin", lifetime=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        token = jwt.decode(text, OKPKey.import_key(json.loads(file.read_text())), algorithms=["EdDSA"])
    claims = token.claims
    assert {name: claims[name] for name in ("iss", "aud", "sub", "role")} == {
        "iss": "everthread-dev",
        "aud": "everthread",
        "sub": "demo",
        "role": "admin",
    }
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 30
    assert token.header["kid"] == json.loads(file.read_text())["kid"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800)])
def test_lifetimes(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "12", "0s", "-1h", "1y", "401d", "²h"])
def test_what_is_no_lifetime_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        parse_lifetime(text)


def test_without_a_key_the_sentence_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="start `everthread up` once"):
        development_token(Home(tmp_path), user="demo", role="user", ttl="1h")


@pytest.mark.parametrize(("user", "role"), [(" ", "user"), ("demo", "root")])
def test_wrong_options_are_refused(tmp_path: Path, user: str, role: str) -> None:
    with pytest.raises(RefusedError) as refused:
        development_token(Home(tmp_path), user=user, role=role, ttl="1h")
    assert refused.value.exit_code == EXIT_USAGE
