"""A small OpenID Connect provider for tests: authorization code with PKCE for one public client, refresh tokens that are good once.

What a client does wrong is refused as the specifications say, and kept in `misuse`.
"""

import asyncio
import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from html import escape
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "everthread-page"
AUDIENCE = "everthread"


@dataclass
class Grant:
    """A person's consent: all refresh tokens of it die together."""

    user: str
    scope: str
    alive: bool = True


@dataclass
class OidcProvider:
    """Serves on two free ports of loopback while entered, in a thread of its own: `issuer`, and `tokens`, where tokens are given
    and taken back, as large providers do it. `page` is the origin of the only client."""

    page: str
    token_seconds: int = 600
    issuer: str = ""
    tokens: str = ""
    named: dict[str, str] = field(default_factory=dict)
    """What the discovery document says instead."""
    misuse: list[str] = field(default_factory=list)
    refreshed: int = 0
    revoked: int = 0
    ended: int = 0
    refusing: bool = False
    """No refresh token is good any more."""

    def __enter__(self) -> Self:
        self._key = RSAKey.generate_key(2048, {"kid": "test-1", "use": "sig", "alg": "RS256"})
        self._codes: dict[str, tuple[Grant, dict[str, str]]] = {}
        self._refresh: dict[str, Grant] = {}
        self._used: dict[str, Grant] = {}
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(ready)))
        self._thread.start()
        assert ready.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._stopping = asyncio.Event()
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_get("/decide", self._decide)
        app.router.add_get("/end", self._end)
        tokens = web.Application()
        tokens.router.add_post("/token", self._token)
        tokens.router.add_post("/revoke", self._revoke)
        runners = [web.AppRunner(one, shutdown_timeout=0.1) for one in (app, tokens)]
        self.issuer, self.tokens = [await self._listen(runner) for runner in runners]
        ready.set()
        await self._stopping.wait()
        for runner in runners:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return site.name

    def _open(self, body: dict[str, Any], status: int = 200) -> web.Response:
        return web.json_response(body, status=status, headers={"access-control-allow-origin": self.page})

    async def _discovery(self, _: web.Request) -> web.Response:
        return self._open(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.tokens}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "revocation_endpoint": f"{self.tokens}/revoke",
                "end_session_endpoint": f"{self.issuer}/end",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
            | self.named
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return self._open({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        expected = {"client_id": CLIENT, "redirect_uri": f"{self.page}/sign-in", "response_type": "code"}
        wrong = [name for name, value in expected.items() if asked.get(name) != value]
        wrong += [name for name in ("state", "nonce", "code_challenge") if not asked.get(name)]
        if wrong or asked.get("code_challenge_method") != "S256" or "openid" not in asked.get("scope", "").split():
            self.misuse.append(f"authorize: {wrong or asked}")
            return web.Response(status=400, text="refused")
        query = escape(urlencode(asked))
        links = "".join(
            f'<p><a href="/decide?user={user}&amp;{query}">{text}</a></p>'
            for user, text in (("anna", "Continue as anna"), ("root", "Continue as root"), ("", "Refuse"))
        )
        page = f"<!doctype html><html lang=en><title>Provider</title><link rel=icon href='data:,'>{links}"
        return web.Response(text=page, content_type="text/html")

    async def _decide(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        answer = {"state": asked["state"], "iss": self.issuer}
        if asked["user"]:
            code = secrets.token_urlsafe()
            self._codes[code] = (Grant(asked["user"], asked["scope"]), asked)
            answer["code"] = code
        else:
            answer |= {"error": "access_denied", "error_description": "the person said no"}
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("client_id") != CLIENT:
            return self._refused("invalid_client", form)
        if form.get("grant_type") == "refresh_token":
            return self._renew(form)
        grant, asked = self._codes.pop(form.get("code", ""), (None, {}))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        fits = challenge == asked.get("code_challenge") and form.get("redirect_uri") == asked.get("redirect_uri")
        if grant is None or not fits:
            return self._refused("invalid_grant", form)
        return self._given(grant, nonce=asked["nonce"])

    def _renew(self, form: dict[str, str]) -> web.Response:
        token = form.get("refresh_token", "")
        if token in self._used:
            # Somebody has a copy: whoever it is, all that came of this consent is over.
            self._used[token].alive = False
            return self._refused("invalid_grant", form)
        grant = self._refresh.pop(token, None)
        if grant is None or not grant.alive or self.refusing:
            return self._open({"error": "invalid_grant", "error_description": "too old"}, 400)
        self._used[token] = grant
        self.refreshed += 1
        return self._given(grant)

    def _given(self, grant: Grant, nonce: str = "") -> web.Response:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": grant.user, "iat": now, "exp": now + self.token_seconds}
        role = {"role": "admin"} if grant.user == "root" else {}
        header = {"alg": "RS256", "kid": "test-1"}
        body: dict[str, Any] = {
            "access_token": jwt.encode(header, claims | role | {"aud": AUDIENCE}, self._key),
            "token_type": "Bearer",
            "expires_in": self.token_seconds,
        }
        if nonce:
            body["id_token"] = jwt.encode(header, claims | {"aud": CLIENT, "nonce": nonce}, self._key)
        if "offline_access" in grant.scope.split():
            body["refresh_token"] = secrets.token_urlsafe()
            self._refresh[body["refresh_token"]] = grant
        return self._open(body)

    async def _revoke(self, request: web.Request) -> web.Response:
        form = await request.post()
        grant = self._refresh.pop(str(form.get("token", "")), None)
        if grant is not None:
            grant.alive = False
            self.revoked += 1
        return self._open({})

    async def _end(self, request: web.Request) -> web.Response:
        back = request.query.get("post_logout_redirect_uri", "")
        if request.query.get("client_id") != CLIENT or back != f"{self.page}/":
            self.misuse.append(f"end: {dict(request.query)}")
            return web.Response(status=400, text="refused")
        self.ended += 1
        raise web.HTTPFound(back)

    def _refused(self, error: str, form: dict[str, str]) -> web.Response:
        self.misuse.append(f"token: {error} for {form}")
        return self._open({"error": error}, 400)
