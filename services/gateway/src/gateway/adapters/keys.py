"""Keys that tokens are signed with: from a JWKS URL, or the development key. A key inside a token is never looked at."""

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import structlog
from contracts.codes import Code
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey, RSAKey
from runtime.process import StartupError

from gateway.domain.problems import Refusal

logger = structlog.get_logger()

REFRESH_SECONDS: Final = 10.0
"""At most one fetch in this time, however many unknown kids come: else a stranger could make us hammer the provider."""
STALE_SECONDS: Final = 600.0
"""After this a key set is fetched again in the background, so that a withdrawn key stops working."""
FETCH_SECONDS: Final = 5.0
MAX_BYTES: Final = 1_000_000
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
            raise StartupError(f"EVERTHREAD_DEV_KEY_FILE cannot be read: {error.strerror}: {path}") from error
        except (ValueError, TypeError, KeyError, JoseError) as error:
            raise StartupError(
                f"EVERTHREAD_DEV_KEY_FILE is no Ed25519 JWK: {path}; remove it and start again"
            ) from error
        if self._key.curve_name != "Ed25519":
            raise StartupError(f"EVERTHREAD_DEV_KEY_FILE holds a {self._key.curve_name} key, expected Ed25519: {path}")

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
        self, url: str, *, client: httpx2.AsyncClient | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url: Final = url
        self._client: Final = client or httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False)
        self._clock: Final = clock
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str | None) -> VerificationKey:
        """The key named `kid`; raises Refusal: invalid where the set has none such, unavailable where there is no set yet."""
        if kid is None:
            raise Refusal(Code.TOKEN_INVALID, "The token does not name its key (kid).")
        if kid not in self._keys:
            await self._refresh()
        elif self._fetched_at is not None and self._clock() - self._fetched_at > STALE_SECONDS:
            self._start_refresh()
        if self._fetched_at is None:
            raise Refusal(
                Code.UNAVAILABLE, "The identity provider's keys cannot be fetched now; try again.", retry_after=5
            )
        key = self._keys.get(kid)
        if key is None or not _fits(key, algorithm):
            raise _unknown_kid()
        return key

    async def close(self) -> None:
        """Drop the connection."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.aclose()

    async def _refresh(self) -> None:
        task = self._start_refresh()
        if task is not None:
            await asyncio.shield(task)

    def _start_refresh(self) -> "asyncio.Task[None] | None":
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < REFRESH_SECONDS:
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._fetch(), name="fetch jwks")
        return self._fetching

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                response = await self._client.get(self._url, headers={"accept": "application/json"})
                response.raise_for_status()
            if len(response.content) > MAX_BYTES:
                raise ValueError(f"the key set is larger than {MAX_BYTES} bytes")
            self._keys = parse_key_set(response.json())
            self._fetched_at = self._clock()
            logger.info("jwks.fetched", keys=len(self._keys))
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            logger.warning("jwks.fetch_failed", url=self._url, error=f"{type(error).__name__}: {error}")


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
    """Development tokens are for this machine only; raises StartupError for another address."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise StartupError(
            f"EVERTHREAD_HOST is {host}, but development tokens (EVERTHREAD_DEV_KEY_FILE) are accepted on loopback only; "
            "set EVERTHREAD_JWKS_URL, EVERTHREAD_JWT_ISSUER and EVERTHREAD_JWT_AUDIENCE, or listen on 127.0.0.1"
        )
