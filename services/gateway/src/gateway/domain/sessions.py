"""Browser sessions: a cookie that holds a token, what a request must look like for it to count, and who gets one for development.

A cookie is sent by the browser whoever caused the request, so it counts only where the page that caused it is our own.
"""

import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

from contracts.codes import Code

from gateway.domain.identity import DEV_AUDIENCE, DEV_ISSUER, Role
from gateway.domain.problems import Refusal

COOKIE: Final = "everthread_session"
MAX_COOKIE_CHARACTERS: Final = 3800
"""Browsers keep 4096 bytes of a cookie, name and attributes included."""
DEV_SECONDS: Final = 12 * 3600
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


def cookie_name(host: str) -> str:
    """The cookie's name for a Host header. Cookies know no port, and two meshes on one machine have two keys."""
    port = _split(host)[1]
    return f"{COOKIE}_{port}" if port else COOKIE


def token_in(cookies: str | None, name: str) -> str | None:
    """The value of one cookie of a Cookie header; None where it is not there."""
    for pair in (cookies or "").split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name and value:
            return value
    return None


def check_own_page(method: str, *, host: str, origin: str | None, site: str | None) -> None:
    """The request was caused by a page of this host; raises Refusal. `site` is Sec-Fetch-Site, which only browsers can set."""
    if site not in (None, "same-origin", "none"):
        raise Refusal(
            Code.FORBIDDEN, "A browser session is for the page of this address; this request comes from another."
        )
    if method in SAFE_METHODS:
        return
    if origin is None or not host or urlsplit(origin).netloc.lower() != host.lower():
        raise Refusal(
            Code.FORBIDDEN,
            "With a browser session, whatever changes something must come from the page of this address (its Origin does "
            "not say so); other programs send `Authorization: Bearer <token>`.",
        )


def check_loopback_name(host: str) -> None:
    """The Host header names this machine by a loopback address; raises Refusal. Another name that leads here (a rebound DNS
    name) would make a stranger's page one of ours."""
    name = _split(host)[0]
    try:
        loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Refusal(
            Code.FORBIDDEN, "Development sessions are given on 127.0.0.1 and localhost only; open the page there."
        )


def development_claims(user: str, role: Role, *, now: float) -> dict[str, Any]:
    """The claims of a development session; `now` in Unix seconds. Raises Refusal."""
    if not user.strip() or len(user) > 100 or any(ord(letter) < 32 for letter in user):
        raise Refusal(Code.BODY_INVALID, "The user is a name of 1 to 100 characters.")
    issued = int(now)
    return {
        "iss": DEV_ISSUER,
        "aud": DEV_AUDIENCE,
        "sub": user.strip(),
        "role": role,
        "iat": issued,
        "exp": issued + DEV_SECONDS,
    }


def set_cookie(name: str, token: str, *, seconds: float, secure: bool) -> str:
    """A Set-Cookie header: no script reads it, no other site causes it to be sent. Raises Refusal where it is too long."""
    if len(token) > MAX_COOKIE_CHARACTERS:
        raise Refusal(
            Code.TOKEN_INVALID,
            f"The token has {len(token)} characters, and a browser keeps {MAX_COOKIE_CHARACTERS}; get one with fewer claims.",
        )
    attributes = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={max(int(seconds), 0)}"
    return f"{name}={token}; {attributes}{'; Secure' if secure else ''}"


def _split(host: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or ""), parts.port
    except ValueError:
        return "", None
