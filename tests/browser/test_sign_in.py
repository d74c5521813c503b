"""Signing in at an identity provider by the page itself: OpenID Connect with PKCE, renewed without a word, and signed out."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from everthread.broker import user_urls
from everthread.home import Home
from everthread.ports import free_port
from everthread.reach import passwords_of
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import WEB
from tests.browser.person import Person, flat
from tests.browser.test_accessibility import check
from tests.mesh import Mesh
from tests.oidc_provider import AUDIENCE, CLIENT, OidcProvider
from tests.upstream import expected_text

Provided = tuple[str, OidcProvider]


@pytest.fixture(scope="module")
def provided(session_mesh: Mesh) -> Iterator[Provided]:
    """Another gateway of the mesh, which believes a provider and nobody else; its address, and the provider."""
    parts = session_mesh.ps()
    port, health = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    nats = user_urls(parts["nats"]["port"], passwords_of(Home(session_mesh.home)))
    with OidcProvider(url) as provider:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERTHREAD_")} | {
            "NATS_URL": nats["gateway"],
            "EVERTHREAD_INSTANCE": "gateway-9",
            "EVERTHREAD_PORT": str(port),
            "EVERTHREAD_HEALTH_PORT": str(health),
            "EVERTHREAD_CONVERSATION_ADDRESS": f"127.0.0.1:{parts['conversation-1']['port']}",
            "EVERTHREAD_INFERENCE_ADDRESS": f"127.0.0.1:{parts['inference-1']['port']}",
            "EVERTHREAD_MODELS_FILE": session_mesh.environment["EVERTHREAD_MODELS_FILE"],
            "EVERTHREAD_PAGE_FOLDER": str(WEB / "dist"),
            "EVERTHREAD_JWKS_URL": f"{provider.issuer}/jwks",
            "EVERTHREAD_JWT_ISSUER": provider.issuer,
            "EVERTHREAD_JWT_AUDIENCE": AUDIENCE,
            "EVERTHREAD_OIDC_CLIENT_ID": CLIENT,
            "EVERTHREAD_TRACE_VIEWER_URL": "https://traces.example.org/trace/{trace_id}?from=everthread",
        }
        log = session_mesh.home / "gateway-9.log"
        with log.open("wb") as sink:
            process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stdout=sink, stderr=sink)
        try:
            until(lambda: answers(f"http://127.0.0.1:{health}/readyz"), log.read_text)
            yield url, provider
        finally:
            process.terminate()
            process.wait(30)


def answers(address: str) -> bool:
    """200 from there."""
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except (OSError, urllib.error.HTTPError):
        return False


def until(true: Callable[[], bool], about: Callable[[], str] = str, within: float = 30) -> None:
    """Wait for something that no page shows."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, about()
        time.sleep(0.05)


@pytest.fixture
def person(browser: Browser, provided: Provided) -> Iterator[Person]:
    """Somebody at that gateway; the provider's page is another address, and nothing else is."""
    url, provider = provided
    somebody = Person(browser, url, "unused")
    somebody.expects(f"request to another address: ({re.escape(provider.issuer)}|{re.escape(provider.tokens)})/")
    # The browser says by itself that a question about a session that is over was refused.
    somebody.expects(r"status of 40[01]")
    yield somebody
    complaints = somebody.complaints
    somebody.context.close()
    assert not complaints, "\n".join(complaints)
    assert provider.misuse == []


def sign_in(page: Page, choice: str) -> None:
    """To the provider, and what is chosen there."""
    page.get_by_role("button", name="Sign in at 127.0.0.1").click()
    page.get_by_role("link", name=choice).click()


def everything_kept(page: Page) -> str:
    """What a script of the page could read of its own."""
    kept: str = page.evaluate(
        "JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, location.href])"
    )
    return kept


def test_signing_in_staying_in_and_out(person: Person, provided: Provided) -> None:
    url, provider = provided
    # Renewed halfway: four seconds.
    provider.token_seconds = 8
    page = person.page
    response = page.request.get(url, headers={"accept": "text/html"})
    policy = response.headers["content-security-policy"]
    assert f"; connect-src 'self' {provider.issuer} {provider.tokens};" in policy
    person.visit("/?panel=code")
    expect(page.get_by_role("button", name="Sign in at 127.0.0.1")).to_be_visible()
    page.get_by_text("With a token").click()
    check(page, "the sign-in")
    sign_in(page, "Refuse")
    expect(page.get_by_role("alert")).to_contain_text("did not let you in: the person said no")
    check(page, "a sign-in that was refused")
    expect(page).to_have_url(f"{url}/sign-in")
    person.visit("/?panel=code")
    sign_in(page, "Continue as anna")
    # Back to where it was, with nothing of the sign-in in the address.
    expect(page).to_have_url(f"{url}/?panel=code")
    person.send("tokens=10 seed=71")
    assert person.ended() == flat(expected_text("tokens=10 seed=71"))
    thread = page.url
    before = provider.refreshed
    until(lambda: provider.refreshed >= before + 1)
    # What is kept renews a session; no token that opens one is where a script could read it.
    assert "eyJ" not in everything_kept(page)
    # A reload, and another tab that has the session from the first one and goes on with it alone.
    page.reload()
    expect(person.composer).to_be_visible()
    second = person.tab()
    second.goto(thread)
    expect(person.composer).to_be_visible()
    until(lambda: "everthread.refresh" in everything_kept(second))
    page.close()
    before = provider.refreshed
    until(lambda: provider.refreshed >= before + 1)
    person.send("tokens=12 seed=72")
    person.sees(flat(expected_text("tokens=12 seed=72")))
    assert person.ended() == flat(expected_text("tokens=12 seed=72"))
    # The provider takes the consent back: a sentence, a draft that stays, and back to the same place.
    person.composer.fill("a draft that must stay")
    provider.refusing = True
    expect(second.get_by_role("alert").filter(has_text="Your session has ended")).to_be_visible()
    provider.refusing = False
    sign_in(second, "Continue as anna")
    expect(second).to_have_url(thread)
    expect(person.composer).to_have_value("a draft that must stay")
    second.keyboard.press("Control+,")
    second.get_by_role("button", name="Sign out of this browser").click()
    expect(second.get_by_role("button", name="Sign in at 127.0.0.1")).to_be_visible()
    assert (provider.revoked, provider.ended) == (1, 1)
    assert "everthread.refresh" not in everything_kept(second)
    assert second.request.get(f"{url}/session").json()["authenticated"] is False


def test_nothing_is_sent_to_an_address_that_the_server_did_not_find(person: Person, provided: Provided) -> None:
    _, provider = provided
    page = person.page
    person.visit("/")
    button, alert = page.get_by_role("button", name="Sign in at 127.0.0.1"), page.get_by_role("alert")
    for named, sentence in (
        ("https://tokens.example.org/token", "gives tokens at https://tokens.example.org, and this page may ask"),
        ("http://tokens.example.org/token", "names an address that is not https"),
    ):
        provider.named = {"token_endpoint": named}
        button.click()
        expect(alert).to_contain_text(sentence)
    provider.named = {"issuer": "https://somebody-else.example.org"}
    button.click()
    expect(alert).to_contain_text("answered what cannot be taken")
    provider.named = {}


def test_an_administrator_comes_back_to_the_console(person: Person, provided: Provided) -> None:
    url, provider = provided
    provider.token_seconds = 600
    person.visit("/console/runs?status=complete")
    sign_in(person.page, "Continue as root")
    expect(person.page).to_have_url(f"{url}/console/runs?status=complete")
    expect(person.page.get_by_role("table", name="Runs")).to_be_visible()
    # A run whose trace is recorded leads to it, in the console and beside the chat.
    asked, origin = person.context.request, {"origin": url}
    thread = asked.post(f"{url}/v1/threads", data={}, headers=origin).json()["id"]
    traced = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    sent = asked.post(
        f"{url}/v1/threads/{thread}/messages", data={"content": "tokens=5 seed=73"}, headers=origin | traced
    )
    viewer = f"https://traces.example.org/trace/{'ab' * 16}?from=everthread"
    person.visit(f"/console/runs/{sent.json()['run_id']}")
    expect(person.page.get_by_role("link", name="attempt 1")).to_have_attribute("href", viewer)
    person.visit(f"/t/{thread}?panel=run")
    expect(person.page.get_by_role("link", name="Trace")).to_have_attribute("href", viewer)
    # An answer to a sign-in that nobody began here opens nothing.
    person.visit("/sign-in?code=somebody-elses&state=x")
    expect(person.page.get_by_role("alert")).to_contain_text("was not begun in this tab")
    expect(person.page).to_have_url(f"{url}/sign-in")
