"""Who calls: what a verified token must say. The signature is checked by an adapter; here is the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from contracts.codes import Code
from contracts.ids import user_id_of

from gateway.domain.problems import Refusal

ALGORITHMS: Final = ("RS256", "EdDSA")
LEEWAY_SECONDS: Final = 60
DEV_ISSUER: Final = "everthread-dev"
DEV_AUDIENCE: Final = "everthread"
MAX_TOKEN_CHARACTERS: Final = 8192

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `expires_at` is in Unix seconds, leeway included: streams end then. `plan` and `test_account` are
    claims that flags may look at."""

    user_id: str
    role: Role
    expires_at: float
    plan: str = ""
    test_account: bool = False


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header; raises Refusal."""
    if authorization is None:
        raise Refusal(
            Code.TOKEN_MISSING, "The request has no Authorization header; send `Authorization: Bearer <token>`."
        )
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Refusal(Code.TOKEN_INVALID, "The Authorization header is not of the form `Bearer <token>`.")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Refusal(Code.TOKEN_INVALID, f"The token is longer than {MAX_TOKEN_CHARACTERS} characters.")
    return token


def check_header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    """`(alg, kid)` of a token's header; raises Refusal. A key that the token brings along is never looked at."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise Refusal(Code.TOKEN_INVALID, f"The token is not signed with one of {', '.join(ALGORITHMS)}.")
    if "crit" in header:
        raise Refusal(Code.TOKEN_INVALID, "The token has critical header extensions, and none is understood here.")
    if kid is not None and not isinstance(kid, str):
        raise Refusal(Code.TOKEN_INVALID, "The token's kid is not a text.")
    return algorithm, kid


def check_claims(claims: Mapping[str, Any], *, issuer: str, audience: str, now: float) -> Principal:
    """The caller that verified claims name; `now` in Unix seconds. Raises Refusal."""
    for name in ("iss", "sub"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise Refusal(Code.TOKEN_INVALID, f"The token's {name} is missing or not a text.")
    if claims["iss"] != issuer:
        raise Refusal(Code.TOKEN_INVALID, "The token was not issued by the issuer trusted here.")
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise Refusal(Code.TOKEN_INVALID, "The token was not issued for this audience.")
    expires_at = _seconds(claims, "exp")
    if expires_at is None:
        raise Refusal(Code.TOKEN_INVALID, "The token's exp is missing.")
    if now >= expires_at + LEEWAY_SECONDS:
        raise Refusal(Code.TOKEN_EXPIRED, "The token has expired; get a new one.")
    for name in ("nbf", "iat"):
        begins_at = _seconds(claims, name)
        if begins_at is not None and now < begins_at - LEEWAY_SECONDS:
            raise Refusal(Code.TOKEN_INVALID, f"The token is not valid yet ({name} lies in the future).")
    # Providers put roles of their own here ("authenticated"); only ours lifts anybody above a user.
    role: Role = "admin" if claims.get("role") == "admin" else "user"
    plan = claims.get("plan")
    return Principal(
        user_id_of(claims["iss"], claims["sub"]),
        role,
        expires_at + LEEWAY_SECONDS,
        plan=plan[:100] if isinstance(plan, str) else "",
        test_account=claims.get("test_account") is True,
    )


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise Refusal(Code.TOKEN_INVALID, f"The token's {name} is not a time in seconds.")
    return float(value)
