"""Bearer tokens by joserfc: `ports.Authenticator`."""

import json
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

from contracts.codes import Code
from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError, SecurityWarning
from joserfc.jws import JWSRegistry

from gateway.adapters.keys import Keys
from gateway.domain.identity import ALGORITHMS, Principal, bearer_token, check_claims, check_header
from gateway.domain.problems import Refusal


class TokenAuthenticator:
    """Verifies RS256 and EdDSA tokens of one issuer for one audience. `clock` gives Unix seconds."""

    def __init__(self, keys: Keys, *, issuer: str, audience: str, clock: Callable[[], float] = time.time) -> None:
        self._keys: Final = keys
        self._issuer: Final = issuer
        self._audience: Final = audience
        self._clock: Final = clock
        self._registry: Final = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)

    async def close(self) -> None:
        """Close what the keys come through."""
        await self._keys.close()

    async def authenticate(self, authorization: str | None) -> Principal:
        """See ports.Authenticator."""
        token = bearer_token(authorization).encode("utf-8", "replace")
        try:
            parsed = jws.extract_compact(token, registry=self._registry)
            algorithm, kid = check_header(parsed.headers())
            key = await self._keys.find(algorithm, kid)
            # RFC 9864 renames EdDSA; every provider still writes the old name, and joserfc warns about it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)
                verified = jws.validate_compact(parsed, key, algorithms=[algorithm], registry=self._registry)
            claims = json.loads(parsed.payload) if verified else None
        except BadSignatureError as error:
            raise Refusal(Code.TOKEN_INVALID, "The token's signature is wrong.") from error
        except (JoseError, ValueError, RecursionError) as error:
            raise Refusal(Code.TOKEN_INVALID, "The token is not a well-formed signed JWT.") from error
        return check_claims(_object(claims), issuer=self._issuer, audience=self._audience, now=self._clock())


def _object(claims: Any) -> dict[str, Any]:
    if not isinstance(claims, dict):
        raise Refusal(Code.TOKEN_INVALID, "The token's signature or content is wrong.")
    return claims
