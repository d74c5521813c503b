"""Keys that tokens are signed with: from a JWKS URL, or the development key. A key inside a token is never looked at."""

import ipaddress
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from contracts.codes import Code
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey, RSAKey
from runtime.process import ConfigurationError

from gateway.domain.problems import Refusal

if TYPE_CHECKING:
    import httpx2

logger = structlog.get_logger()

MIN_RSA_BITS: Final = 2048

VerificationKey = RSAKey | OKPKey


class Keys(Protocol):
    """Where verification keys come from."""

    async def find(self, algorithm: str, kid: str | None) -> VerificationKey:
        """The key for a token's header; raises Refusal."""

    async def close(self) -> None:
        """Close what they come through."""


def _fits(key: VerificationKey, algorithm: str) -> bool:
    return isinstance(key, RSAKey) if algorithm == "RS256" else isinstance(key, OKPKey)


def _unknown_kid() -> Refusal:
    return Refusal(Code.TOKEN_INVALID, "The token was signed with a key that is not known here.")


class DevelopmentKey:
    """One Ed25519 key from a file (a private or public OKP JWK). For loopback only; bootstrap sees to that."""

    def __init__(self, path: Path) -> None:
        try:
            self._key: Final = OKPKey.import_key(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise ConfigurationError(f"EVERTHREAD_DEV_KEY_FILE cannot be read: {error.strerror}: {path}") from error
        except (ValueError, TypeError, KeyError, JoseError) as error:
            raise ConfigurationError(
                f"EVERTHREAD_DEV_KEY_FILE is no Ed25519 JWK: {path}; remove it and start again"
            ) from error
        if self._key.curve_name != "Ed25519":
            raise ConfigurationError(
                f"EVERTHREAD_DEV_KEY_FILE holds a {self._key.curve_name} key, expected Ed25519: {path}"
            )

    async def find(self, algorithm: str, kid: str | None) -> VerificationKey:
        """The one key, unless the token names another."""
        if algorithm != "EdDSA" or kid not in (None, self._key.kid, self._key.thumbprint()):
            raise _unknown_kid()
        return self._key

    async def close(self) -> None:
        """Nothing is open."""


class JwksKeys:
    """Keys by kid from a pinned URL: cached, fetched again for an unknown kid (seldom), kept while the URL is down."""

    def __init__(
        self, url: str, *, client: "httpx2.AsyncClient | None" = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Only here, since it brings an HTTP client along, which the development key does not need.
        from gateway.adapters.pinned_document import PinnedDocument

        self._set: Final = PinnedDocument(url, parse_key_set, name="jwks", client=client, clock=clock)

    async def find(self, algorithm: str, kid: str | None) -> VerificationKey:
        """The key named `kid`; raises Refusal: invalid where the set has none such, unavailable where there is no set yet."""
        if kid is None:
            raise Refusal(Code.TOKEN_INVALID, "The token does not name its key (kid).")
        if kid not in (self._set.value or {}):
            await self._set.refresh()
        else:
            self._set.refresh_if_stale()
        if self._set.value is None:
            raise Refusal(
                Code.UNAVAILABLE, "The identity provider's keys cannot be fetched now; try again.", retry_after=5
            )
        key = self._set.value.get(kid)
        if key is None or not _fits(key, algorithm):
            raise _unknown_kid()
        return key

    async def close(self) -> None:
        """Drop the connection."""
        await self._set.close()


def parse_key_set(document: Any) -> dict[str, VerificationKey]:
    """The usable verification keys of a JWKS by kid; others are left out. Raises ValueError where it is no key set."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the document is no JWK set")  # noqa: TRY004 - the document is wrong, not our caller
    found: dict[str, VerificationKey] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
            continue
        key = _import(entry)
        if key is not None:
            found[entry["kid"]] = key
    return found


def _import(entry: dict[str, Any]) -> VerificationKey | None:
    try:
        if entry.get("kty") == "RSA" and entry.get("alg", "RS256") == "RS256":
            rsa = RSAKey.import_key(entry)
            return rsa if rsa.public_key.key_size >= MIN_RSA_BITS else None
        if entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519":
            return OKPKey.import_key(entry)
    except (ValueError, TypeError, KeyError, JoseError) as error:
        logger.warning("jwks.key_unusable", kid=entry["kid"], error=f"{type(error).__name__}: {error}")
    return None


def check_loopback(host: str) -> None:
    """Development tokens are for this machine only; raises ConfigurationError for another address."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(
            f"EVERTHREAD_HOST is {host}, but development tokens (EVERTHREAD_DEV_KEY_FILE) are accepted on loopback only; "
            "set EVERTHREAD_JWKS_URL, EVERTHREAD_JWT_ISSUER and EVERTHREAD_JWT_AUDIENCE, or listen on 127.0.0.1"
        )
