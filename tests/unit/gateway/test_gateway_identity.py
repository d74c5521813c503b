"""Which tokens are believed, and which are not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from contracts.codes import Code
from contracts.ids import user_id_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from gateway.adapters.keys import DevelopmentKey, JwksKeys, check_loopback, parse_key_set
from gateway.adapters.tokens import TokenAuthenticator
from gateway.domain.problems import Refusal
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey, RSAKey
from runtime.process import StartupError

ISSUER, AUDIENCE = "https://id.example.org/", "everthread"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
STRANGER = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})


FAR_AHEAD = 4102444800
"""The year 2100."""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _json(**fields: Any) -> str:
    return _b64(json.dumps(fields).encode())


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600}
    return {name: value for name, value in (base | changes).items() if value is not None}


def signed(key: RSAKey | OKPKey, claims_: dict[str, Any], **header: Any) -> str:
    algorithm = "RS256" if isinstance(key, RSAKey) else "EdDSA"
    full = {"alg": algorithm, "kid": key.kid} | header
    text = f"{_json(**{k: v for k, v in full.items() if v is not None})}.{_json(**claims_)}"
    native = key.get_op_key("sign")
    if isinstance(native, RSAPrivateKey):
        signature = native.sign(text.encode(), PKCS1v15(), SHA256())
    else:
        assert isinstance(native, Ed25519PrivateKey)
        signature = native.sign(text.encode())
    return f"{text}.{_b64(signature)}"


class Provider:
    """An identity provider's JWKS URL."""

    def __init__(self) -> None:
        self.keys: list[Any] = [RSA.as_dict(private=False), ED.as_dict(private=False)]
        self.calls = 0
        self.down = False
        self.now = 1000.0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        if self.down:
            raise httpx2.ConnectError("refused", request=request)
        return httpx2.Response(200, json={"keys": self.keys})

    def source(self) -> JwksKeys:
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        return JwksKeys("https://id.example.org/jwks", client=client, clock=lambda: self.now)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def authenticator(provider: Provider) -> TokenAuthenticator:
    return TokenAuthenticator(provider.source(), issuer=ISSUER, audience=AUDIENCE)


async def code_for(authenticator: TokenAuthenticator, authorization: str | None) -> Code:
    with pytest.raises(Refusal) as refused:
        await authenticator.authenticate(authorization)
    assert "www-authenticate" in refused.value.headers or refused.value.code is Code.UNAVAILABLE
    return refused.value.code


@pytest.mark.parametrize("key", [RSA, ED], ids=["RS256", "EdDSA"])
async def test_a_good_token_names_its_user(authenticator: TokenAuthenticator, key: RSAKey | OKPKey) -> None:
    principal = await authenticator.authenticate(f"Bearer {signed(key, claims())}")
    assert principal.user_id == user_id_of(ISSUER, "ada")
    assert principal.role == "user"


async def test_joserfcs_own_tokens_are_read(authenticator: TokenAuthenticator) -> None:
    token = jwt.encode({"alg": "RS256", "kid": "rsa-1"}, claims(role="admin", aud=["other", AUDIENCE]), RSA)
    assert (await authenticator.authenticate(f"bearer {token}")).role == "admin"


async def test_a_role_of_the_providers_own_lifts_nobody(authenticator: TokenAuthenticator) -> None:
    principal = await authenticator.authenticate(f"Bearer {signed(ED, claims(role='superuser'))}")
    assert principal.role == "user"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.org/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"nbf": FAR_AHEAD},
        {"iat": FAR_AHEAD},
    ],
    ids=str,
)
async def test_wrong_claims(authenticator: TokenAuthenticator, changes: dict[str, Any]) -> None:
    assert await code_for(authenticator, f"Bearer {signed(ED, claims(**changes))}") is Code.TOKEN_INVALID


async def test_expiry_has_a_minute_of_leeway(authenticator: TokenAuthenticator) -> None:
    principal = await authenticator.authenticate(f"Bearer {signed(ED, claims(exp=int(time.time()) - 30))}")
    assert principal.expires_at > time.time()
    late = signed(ED, claims(exp=int(time.time()) - 61))
    assert await code_for(authenticator, f"Bearer {late}") is Code.TOKEN_EXPIRED


async def test_no_header_and_headers_of_other_shapes(authenticator: TokenAuthenticator) -> None:
    assert await code_for(authenticator, None) is Code.TOKEN_MISSING
    for text in (
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer ä.ö.ü",
        "Bearer " + "x" * 9000,
    ):
        assert await code_for(authenticator, text) is Code.TOKEN_INVALID, text


def _unsigned() -> str:
    return ".".join([_b64(b'{"alg":"none","kid":"ed-1"}'), _b64(json.dumps(claims()).encode()), ""])


def _hmac_with_the_public_key() -> str:
    text = ".".join([_b64(b'{"alg":"HS256","kid":"rsa-1"}'), _b64(json.dumps(claims()).encode())])
    secret = RSA.as_pem(private=False)
    return f"{text}.{_b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def _tampered() -> str:
    head, _, signature = signed(ED, claims()).split(".")
    return f"{head}.{_json(**claims(sub='root'))}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        _unsigned,
        _hmac_with_the_public_key,
        _tampered,
        lambda: signed(STRANGER, claims()),
        lambda: signed(STRANGER, claims(), kid=None, jwk=STRANGER.as_dict(private=False)),
        lambda: signed(STRANGER, claims(), jwk=STRANGER.as_dict(private=False)),
        lambda: signed(ED, claims(), crit=["exp"]),
        lambda: signed(ED, claims(), crit=["b64"], b64=False),
        lambda: signed(ED, claims(), kid="rsa-1"),
        lambda: signed(RSA, claims(), kid="ed-1"),
        lambda: signed(ED, claims(), kid="unknown"),
        lambda: signed(ED, claims(), kid=None),
        lambda: signed(ED, claims(), kid=7),
        lambda: signed(ED, claims(), alg="ES256"),
        lambda: f"{_b64(b'[]')}.{_b64(b'{}')}.{_b64(b'x')}",
        lambda: f"{_b64(b'{')}.{_b64(b'{}')}.{_b64(b'x')}",
    ],
    ids=[
        "alg none",
        "HS256 signed with the public key",
        "tampered",
        "another key under a known kid",
        "embedded jwk",
        "embedded jwk and a known kid",
        "crit exp",
        "crit b64",
        "EdDSA signature under the RSA kid",
        "RS256 signature under the Ed25519 kid",
        "unknown kid",
        "no kid",
        "kid that is no text",
        "algorithm that is not allowed",
        "header that is no object",
        "header that is no JSON",
    ],
)
async def test_forgeries(authenticator: TokenAuthenticator, forge: Callable[[], str]) -> None:
    assert await code_for(authenticator, f"Bearer {forge()}") is Code.TOKEN_INVALID


async def test_an_unknown_kid_fetches_again_at_most_every_ten_seconds(provider: Provider) -> None:
    authenticator = TokenAuthenticator(provider.source(), issuer=ISSUER, audience=AUDIENCE)
    rotated = OKPKey.generate_key("Ed25519", {"kid": "ed-2"})
    await authenticator.authenticate(f"Bearer {signed(ED, claims())}")
    provider.keys.append(rotated.as_dict(private=False))
    for _ in range(5):
        assert await code_for(authenticator, f"Bearer {signed(rotated, claims())}") is Code.TOKEN_INVALID
    assert provider.calls == 1
    provider.now += 11
    await authenticator.authenticate(f"Bearer {signed(rotated, claims())}")
    assert provider.calls == 2


async def test_keys_are_kept_while_the_provider_is_down(provider: Provider) -> None:
    authenticator = TokenAuthenticator(provider.source(), issuer=ISSUER, audience=AUDIENCE)
    provider.down = True
    assert await code_for(authenticator, f"Bearer {signed(ED, claims())}") is Code.UNAVAILABLE
    provider.down, provider.now = False, provider.now + 11
    await authenticator.authenticate(f"Bearer {signed(ED, claims())}")
    provider.down, provider.now = True, provider.now + 3600
    await authenticator.authenticate(f"Bearer {signed(ED, claims())}")
    await authenticator.authenticate(f"Bearer {signed(ED, claims())}")
    await authenticator.close()


def test_a_key_set_gives_only_what_can_be_used() -> None:
    with pytest.warns(SecurityWarning, match="2048"):
        weak = RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False)
    document = {
        "keys": [
            RSA.as_dict(private=False),
            weak,
            ED.as_dict(private=False) | {"use": "enc", "kid": "enc"},
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
            {"kty": "RSA"},
            "nonsense",
        ]
    }
    with pytest.warns(SecurityWarning, match="2048"):
        assert set(parse_key_set(document)) == {"rsa-1"}
    wrongs: tuple[Any, ...] = ({}, [], {"keys": {}}, None)
    for wrong in wrongs:
        with pytest.raises(ValueError, match="no JWK set"):
            parse_key_set(wrong)


async def test_the_development_key(tmp_path: Path) -> None:
    path = tmp_path / "dev.jwk"
    bare = OKPKey.generate_key("Ed25519", auto_kid=False)
    path.write_text(json.dumps({k: v for k, v in bare.as_dict(private=True).items() if k != "kid"}), "utf-8")
    authenticator = TokenAuthenticator(DevelopmentKey(path), issuer="everthread-dev", audience="everthread")
    good = claims(iss="everthread-dev")
    for kid in (None, bare.thumbprint()):
        await authenticator.authenticate(f"Bearer {signed(bare, good, kid=kid)}")
    for wrong in (signed(bare, good, kid="other"), signed(ED, good, kid=None), signed(RSA, good, kid=None)):
        assert await code_for(authenticator, f"Bearer {wrong}") is Code.TOKEN_INVALID


def test_a_development_key_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "dev.jwk"
    with pytest.raises(StartupError, match="cannot be read"):
        DevelopmentKey(path)
    for text in ("", "[]", "{}", json.dumps(OKPKey.generate_key("X25519").as_dict(private=True))):
        path.write_text(text, "utf-8")
        with pytest.raises(StartupError, match="Ed25519"):
            DevelopmentKey(path)


def test_development_tokens_stay_on_this_machine() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        check_loopback(host)
    for host in ("0.0.0.0", "::", "192.168.1.5", "chat.example.org", ""):
        with pytest.raises(StartupError, match="loopback only"):
            check_loopback(host)
