"""Signs development sessions with the development key: `ports.SessionKey`."""

import json
import warnings
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey
from runtime.process import ConfigurationError


class DevelopmentSigner:
    """One private Ed25519 JWK from a file. Raises ConfigurationError where it cannot sign."""

    def __init__(self, path: Path) -> None:
        try:
            key = OKPKey.import_key(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
            raise ConfigurationError(f"EVERTHREAD_DEV_KEY_FILE cannot be used to sign: {path}: {error}") from error
        if not key.is_private or key.curve_name != "Ed25519":
            raise ConfigurationError(
                f"EVERTHREAD_DEV_SESSION is on, but {path} holds no private Ed25519 key; switch it off, or use a private one"
            )
        self._key: Final = key

    def sign(self, claims: dict[str, Any]) -> str:
        """A signed token with these claims."""
        header = {"alg": "EdDSA", "typ": "JWT"} | ({"kid": self._key.kid} if self._key.kid else {})
        with warnings.catch_warnings():
            # RFC 9864 renames EdDSA; the verifiers of today still say EdDSA.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, claims, self._key, algorithms=["EdDSA"])
