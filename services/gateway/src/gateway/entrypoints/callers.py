"""Who makes a request: by the Authorization header, else by the session cookie of the page."""

from starlette.types import Scope

from gateway.domain.identity import Principal
from gateway.domain.sessions import check_own_page, cookie_name, token_in
from gateway.entrypoints.wiring import Wiring


def header_of(scope: Scope, name: bytes) -> str | None:
    """One header of a request. An event stream keeps what its frames hold for days: no dictionary of all of them."""
    return next((value.decode("latin-1") for known, value in scope["headers"] if known == name), None)


async def caller_of(wiring: Wiring, scope: Scope) -> Principal:
    """The verified caller; raises Refusal. An Authorization header wins; the cookie counts for our own page only."""
    authorization = header_of(scope, b"authorization")
    if authorization is None:
        host = header_of(scope, b"host") or ""
        token = token_in(header_of(scope, b"cookie"), cookie_name(host))
        if token is not None:
            check_own_page(
                scope["method"],
                host=host,
                origin=header_of(scope, b"origin"),
                site=header_of(scope, b"sec-fetch-site"),
            )
            authorization = f"Bearer {token}"
    return await wiring.authenticator.authenticate(authorization)
