"""`/session`: the browser's session of the page. It begins with a token (or, in development on loopback, with a name) and is a
cookie from then on, so that event streams need no token in their address and no script ever sees one."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from gateway.domain.identity import LEEWAY_SECONDS, Principal, Role, bearer_token
from gateway.domain.problems import Refusal
from gateway.domain.sessions import (
    check_loopback_name,
    check_own_page,
    cookie_name,
    development_claims,
    set_cookie,
)
from gateway.entrypoints.callers import caller_of
from gateway.entrypoints.views import Body
from gateway.entrypoints.wiring import Wiring, wiring_of

router = APIRouter()

Behind = Annotated[Wiring, Depends(wiring_of)]


class OpenSession(Body):
    """Who it shall be, in development; beside an Authorization header it says nothing."""

    user: str = "demo"
    role: Role = "user"


class OidcView(BaseModel):
    """The page as a client of the identity provider. `origins` are where it may ask it: those that the provider's discovery
    document names, the issuer's first; the issuer's only where this gateway could not read that document."""

    issuer: str
    client_id: str
    scopes: str
    origins: list[str]


class SessionView(BaseModel):
    """The session of the browser that asks, and what this gateway offers its page.

    `mode` says how one begins: `development` (by name) or `token`; with `oidc` the page gets the token itself. `trace_url` is the
    address of a trace, with `{trace_id}`, for who has a session. `offers` are the calls there are (`POST /v1/threads`) and the
    fields of a message (`message.on_busy`), so that a page shows no button that nothing is behind.
    """

    authenticated: bool
    user_id: str | None
    role: str | None
    expires_at: float | None
    mode: Literal["development", "token"]
    sign_in_url: str | None
    oidc: OidcView | None
    trace_url: str | None
    offers: list[str]


@router.get("/session", include_in_schema=False)
async def get_session(request: Request, wiring: Behind) -> SessionView:
    """Answers 200 also without a session: asking is no mistake."""
    try:
        principal = await caller_of(wiring, request.scope)
    except Refusal:
        principal = None
    return await _view(request, wiring, principal)


@router.post("/session", include_in_schema=False)
async def open_session(
    request: Request, response: Response, wiring: Behind, body: OpenSession | None = None
) -> SessionView:
    """Begin one: with the token of the Authorization header, or by name where development sessions are on. Raises Refusal."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    check_own_page("POST", host=host, origin=origin, site=request.headers.get("sec-fetch-site"))
    authorization = request.headers.get("authorization")
    if authorization is None and wiring.session_key is not None:
        check_loopback_name(host)
        wanted = body or OpenSession()
        authorization = (
            f"Bearer {wiring.session_key.sign(development_claims(wanted.user, wanted.role, now=wiring.clock()))}"
        )
    principal = await wiring.authenticator.authenticate(authorization)
    seconds = principal.expires_at - LEEWAY_SECONDS - wiring.clock()
    secure = (origin or "").startswith("https:")
    cookie = set_cookie(cookie_name(host), bearer_token(authorization), seconds=seconds, secure=secure)
    response.headers["set-cookie"] = cookie
    return await _view(request, wiring, principal)


@router.delete("/session", include_in_schema=False, status_code=204)
async def close_session(request: Request, response: Response) -> None:
    """End it in this browser. The token itself stays good until it expires, wherever else it is."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    check_own_page("DELETE", host=host, origin=origin, site=request.headers.get("sec-fetch-site"))
    secure = (origin or "").startswith("https:")
    response.headers["set-cookie"] = set_cookie(cookie_name(host), "", seconds=0, secure=secure)


async def _view(request: Request, wiring: Wiring, principal: Principal | None) -> SessionView:
    return SessionView(
        authenticated=principal is not None,
        user_id=principal.user_id if principal is not None else None,
        role=principal.role if principal is not None else None,
        expires_at=principal.expires_at - LEEWAY_SECONDS if principal is not None else None,
        mode="token" if wiring.session_key is None else "development",
        sign_in_url=wiring.sign_in_url,
        oidc=await _oidc(wiring),
        # An address of the operator's own: nobody else's to know.
        trace_url=wiring.trace_viewer_url if principal is not None else None,
        offers=offers_of(request),
    )


async def _oidc(wiring: Wiring) -> OidcView | None:
    if wiring.oidc is None or wiring.provider is None:
        return None
    oidc, origins = wiring.oidc, await wiring.provider.origins()
    return OidcView(issuer=oidc.issuer, client_id=oidc.client_id, scopes=oidc.scopes, origins=list(origins))


def offers_of(request: Request) -> list[str]:
    """The calls of this gateway's own description, and the fields of a message."""
    kept: list[str] | None = getattr(request.app.state, "offers", None)
    if kept is None:
        schema = request.app.openapi()
        kept = [f"{method.upper()} {path}" for path, calls in schema["paths"].items() for method in calls]
        fields: Sequence[str] = sorted(schema["components"]["schemas"].get("SendMessage", {}).get("properties", {}))
        kept += [f"message.{field}" for field in fields]
        request.app.state.offers = kept
    return kept
