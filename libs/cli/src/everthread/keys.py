"""The development key, and the tokens it signs. For loopback only: a real deployment names a JWKS URL instead."""

import json
import time
import warnings
from pathlib import Path
from typing import Final

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home, write_private
from everthread.state import read_state

ISSUER: Final = "everthread-dev"
AUDIENCE: Final = "everthread"
ROLES: Final = ("user", "admin")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def ensure_key(file: Path) -> None:
    """Make the key once: a private Ed25519 JWK that only its owner may read."""
    if file.exists():
        return
    from joserfc.jwk import OKPKey

    key = OKPKey.generate_key("Ed25519", private=True, auto_kid=True, parameters={"use": "sig", "alg": "EdDSA"})
    write_private(file, json.dumps(key.as_dict(private=True)))


def ensure_vapid_key(file: Path) -> None:
    """Make the key once that browsers know this mesh by: a private P-256 key in PEM that only its owner may read."""
    if file.exists():
        return
    from joserfc.jwk import ECKey

    write_private(file, ECKey.generate_key("P-256", private=True).as_pem(private=True).decode())


def mint(file: Path, *, user: str, role: str, lifetime: int) -> str:
    """A signed token for `user`, valid from now for `lifetime` seconds. Raises RefusedError when there is no usable key."""
    from joserfc import jwt
    from joserfc.errors import JoseError, SecurityWarning
    from joserfc.jwk import OKPKey

    try:
        key = OKPKey.import_key(json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        raise RefusedError(f"there is no development key at {file}; start `everthread up` once, it makes one") from None
    except (ValueError, JoseError):
        raise RefusedError(f"{file} is no usable key; delete it and start `everthread up` again") from None
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "role": role, "iat": now, "exp": now + lifetime}
    header = {"alg": "EdDSA", "typ": "JWT", "kid": str(key.kid)}
    with warnings.catch_warnings():
        # RFC 9864 renames EdDSA to Ed25519; the verifiers and identity providers of today still say EdDSA.
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(header, claims, key, algorithms=["EdDSA"])


def parse_lifetime(text: str) -> int:
    """`90s`, `15m`, `12h`, `7d` in seconds. Raises RefusedError."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isascii() and number.isdigit() and 1 <= int(number) * _UNITS[unit] <= 400 * 86_400:
        return int(number) * _UNITS[unit]
    raise RefusedError(f"--ttl {text!r} is not a time such as 90s, 15m, 12h or 7d (400d at most)", EXIT_USAGE)


def development_token(home: Home, *, user: str, role: str, ttl: str) -> str:
    """What `everthread token` prints. Raises RefusedError."""
    if role not in ROLES:
        raise RefusedError(f"--role {role!r} is none of {', '.join(ROLES)}", EXIT_USAGE)
    if not user.strip():
        raise RefusedError("--user is empty; a token is for somebody", EXIT_USAGE)
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is not None and mesh.issuer != "development":
        raise RefusedError(
            f"this mesh takes tokens from {mesh.uses.get('identity', 'an identity provider')}; get one there"
        )
    return mint(home.dev_key, user=user, role=role, lifetime=parse_lifetime(ttl))
