"""Where the page may ask an identity provider: what its discovery document names, and what of it is refused."""

from typing import Any

import httpx2
import pytest
from gateway.adapters.oidc_discovery import OidcDiscovery
from gateway.adapters.pinned_document import PinnedDocument
from gateway.domain.oidc import OidcClient

ISSUER = "https://id.example.org/realms/chat"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.example.org/authorize",
    "token_endpoint": "https://Tokens.example.org:443/token?a=b",
    "userinfo_endpoint": "https://users.example.org/me",
    "jwks_uri": "https://keys.example.org/jwks",
    "end_session_endpoint": "https://end.example.org/",
}


def client(issuer: str = ISSUER) -> OidcClient:
    return OidcClient(issuer=issuer, client_id="page", scopes="openid")


def test_only_what_a_page_asks_and_as_a_browser_writes_it() -> None:
    assert client().check_discovery(DOCUMENT) == ("https://id.example.org", "https://tokens.example.org")
    more = DOCUMENT | {"issuer": f"{ISSUER}/", "revocation_endpoint": "https://id.example.org:8443/revoke"}
    assert client().check_discovery(more)[2:] == ("https://id.example.org:8443",)
    same = DOCUMENT | {"token_endpoint": "https://id.example.org/token"}
    assert client().check_discovery(same) == ("https://id.example.org",)
    here = {"issuer": "http://127.0.0.1:9", "token_endpoint": "http://localhost:10/token"}
    assert client("http://127.0.0.1:9").check_discovery(here) == ("http://127.0.0.1:9", "http://localhost:10")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"issuer": "https://evil.example.org"}, "not of https://id"),
        ({"issuer": None}, "not of https://id"),
        ({"token_endpoint": None}, "no token_endpoint"),
        ({"token_endpoint": "http://tokens.example.org/"}, "token_endpoint: .*over https:// only"),
        ({"token_endpoint": "http://127.0.0.1/"}, "over https:// only"),
        ({"token_endpoint": "/token"}, "over https:// only"),
        ({"token_endpoint": "https://a.org;script-src *"}, "no address"),
        ({"token_endpoint": "https://*.example.org/"}, "no address"),
        ({"token_endpoint": "https://id@tokens.example.org/"}, "no address"),
        ({"token_endpoint": "https://a.org:99999/"}, "token_endpoint: "),
        ({"token_endpoint": ["https://a.org"]}, "over https:// only"),
        ({"revocation_endpoint": "ftp://tokens.example.org/"}, "revocation_endpoint: "),
    ],
    ids=str,
)
def test_a_document_that_says_what_is_refused_counts_for_nothing(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        client().check_discovery(DOCUMENT | changes)


def test_an_issuer_is_https_or_on_this_machine() -> None:
    assert client("http://127.0.0.1:9").origin == "http://127.0.0.1:9"
    for issuer in ("http://id.example.org", "https://*.example.org", "https://a:b@id.example.org"):
        with pytest.raises(ValueError, match="identity provider"):
            client(issuer)


async def test_the_document_is_read_kept_and_asked_for_seldom() -> None:
    now, asked = 0.0, list[str]()
    answer: Any = httpx2.ConnectError("refused")

    def provider(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(200, json=answer)

    discovery = OidcDiscovery(
        client(), client=httpx2.AsyncClient(transport=httpx2.MockTransport(provider)), clock=lambda: now
    )
    for _ in range(2):
        assert await discovery.origins() == ("https://id.example.org",)
    assert asked == [f"{ISSUER}/.well-known/openid-configuration"]
    answer, now = DOCUMENT, 11.0
    both = ("https://id.example.org", "https://tokens.example.org")
    assert await discovery.origins() == both
    assert len(asked) == 2
    await discovery.close()


async def test_what_cannot_be_taken_leaves_the_last_good_one() -> None:
    answers = [DOCUMENT, DOCUMENT | {"token_endpoint": "http://tokens.example.org"}, [], DOCUMENT]
    now = 0.0
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answers.pop(0)))
    document = PinnedDocument(
        client().discovery,
        client().check_discovery,
        name="oidc_discovery",
        client=httpx2.AsyncClient(transport=transport),
        clock=lambda: now,
    )
    for _ in range(3):
        now += 11
        await document.refresh()
        assert document.value == ("https://id.example.org", "https://tokens.example.org")
    await document.refresh()
    assert len(answers) == 1, "it was asked a moment ago"
    await document.close()
