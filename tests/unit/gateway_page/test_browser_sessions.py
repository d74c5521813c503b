"""Which requests a session cookie counts for, and what a session is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from contracts.codes import Code
from gateway.adapters.dev_sessions import DevelopmentSigner
from gateway.adapters.keys import DevelopmentKey
from gateway.adapters.tokens import TokenAuthenticator
from gateway.domain.identity import DEV_AUDIENCE, DEV_ISSUER
from gateway.domain.problems import Refusal
from gateway.domain.sessions import (
    MAX_COOKIE_CHARACTERS,
    check_loopback_name,
    check_own_page,
    cookie_name,
    development_claims,
    set_cookie,
    token_in,
)
from joserfc.jwk import OKPKey
from runtime.process import StartupError

HOST = "127.0.0.1:8080"
OWN = "http://127.0.0.1:8080"


def test_cookies_of_two_meshes_on_one_machine_are_two() -> None:
    assert cookie_name("127.0.0.1:8080") == "everthread_session_8080"
    assert cookie_name("127.0.0.1:8081") != cookie_name("127.0.0.1:8080")
    assert cookie_name("chat.example.org") == "everthread_session"
    assert cookie_name("[::1]:8080") == "everthread_session_8080"
    assert cookie_name("nonsense:port") == "everthread_session"


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("everthread_session=abc", "abc"),
        ("a=1; everthread_session=abc; b=2", "abc"),
        ("everthread_session_8081=other", None),
        ("xeverthread_session=abc", None),
        ("everthread_session=", None),
        ("everthread_session", None),
        (None, None),
    ],
)
def test_a_cookie_is_found_by_its_whole_name(header: str | None, token: str | None) -> None:
    assert token_in(header, "everthread_session") == token


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "GET", "origin": None, "site": None},
        {"method": "GET", "origin": None, "site": "none"},
        {"method": "GET", "origin": None, "site": "same-origin"},
        {"method": "POST", "origin": OWN, "site": "same-origin"},
        {"method": "DELETE", "origin": OWN, "site": None},
        {"method": "POST", "origin": "https://127.0.0.1:8080", "site": "same-origin"},
    ],
)
def test_our_own_page_may(request_: Mapping[str, Any]) -> None:
    check_own_page(request_["method"], host=HOST, origin=request_["origin"], site=request_["site"])


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST", "origin": None, "site": None},
        {"method": "POST", "origin": "null", "site": None},
        {"method": "POST", "origin": "http://evil.example", "site": None},
        # Another server on this machine is of the same site, not of the same origin.
        {"method": "POST", "origin": "http://127.0.0.1:3000", "site": "same-site"},
        {"method": "GET", "origin": None, "site": "same-site"},
        {"method": "GET", "origin": None, "site": "cross-site"},
        {"method": "POST", "origin": OWN, "site": "cross-site"},
        {"method": "PATCH", "origin": "http://127.0.0.1:8080.evil.example", "site": None},
        {"method": "PUT", "origin": "http://evil.example/127.0.0.1:8080", "site": None},
    ],
)
def test_another_page_may_not(request_: Mapping[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        check_own_page(request_["method"], host=HOST, origin=request_["origin"], site=request_["site"])
    assert refused.value.code is Code.FORBIDDEN


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.8.9.1"])
def test_loopback_by_its_own_names(host: str) -> None:
    check_loopback_name(host)


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.evil.example"]
)
def test_a_name_that_only_leads_here_gets_no_session(host: str) -> None:
    with pytest.raises(Refusal):
        check_loopback_name(host)


def test_a_session_is_a_cookie_that_no_script_reads_and_no_other_site_sends() -> None:
    cookie = set_cookie("name", "token", seconds=60.9, secure=False)
    assert cookie == "name=token; Path=/; HttpOnly; SameSite=Strict; Max-Age=60"
    assert set_cookie("name", "token", seconds=60, secure=True).endswith("; Secure")
    with pytest.raises(Refusal, match="fewer claims"):
        set_cookie("name", "t" * (MAX_COOKIE_CHARACTERS + 1), seconds=60, secure=True)


@pytest.mark.parametrize("user", ["", "  ", "x" * 101, "a\nb"])
def test_a_development_user_has_a_name(user: str) -> None:
    with pytest.raises(Refusal):
        development_claims(user, "user", now=0)


async def test_what_is_signed_here_is_accepted_here_until_it_expires(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(
        json.dumps(OKPKey.generate_key("Ed25519", private=True, auto_kid=True).as_dict(private=True)), "utf-8"
    )
    token = DevelopmentSigner(file).sign(development_claims("ann", "admin", now=1000.0))
    now = 1000.0
    authenticator = TokenAuthenticator(
        DevelopmentKey(file), issuer=DEV_ISSUER, audience=DEV_AUDIENCE, clock=lambda: now
    )
    principal = await authenticator.authenticate(f"Bearer {token}")
    assert principal.role == "admin"
    now += 13 * 3600
    with pytest.raises(Refusal) as refused:
        await authenticator.authenticate(f"Bearer {token}")
    assert refused.value.code is Code.TOKEN_EXPIRED


def test_a_public_key_signs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(OKPKey.generate_key("Ed25519", private=True).as_dict(private=False)), "utf-8")
    with pytest.raises(StartupError, match="no private Ed25519 key"):
        DevelopmentSigner(file)
