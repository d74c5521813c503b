"""Somebody with a browser: what a person does with the page, by what it shows."""

import re
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, ViewportSize, expect

WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
PATIENCE = 30_000
"""Milliseconds: two cores are shared with servers and a browser."""

expect.set_options(timeout=PATIENCE)


def flat(text: str) -> str:
    """Text without the white space that layout adds or takes."""
    return " ".join(text.split())


class Person:
    """One browser profile, logged in as `user`, with one or more tabs; `page` is the tab in front."""

    def __init__(self, browser: Browser, url: str, user: str, **options: Any) -> None:
        self.url, self.user = url, user
        size = ViewportSize(width=options.pop("width", 1280), height=options.pop("height", 800))
        self.context = browser.new_context(viewport=size, **options)
        self.context.add_init_script(WATCH_POLICY)
        self.context.add_init_script(f'localStorage.setItem("everthread.user", JSON.stringify({user!r}));')
        self.context.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        self.page = self.tab()

    def expects(self, pattern: str) -> None:
        """Complaints like this are what the test is about."""
        self._expected.append(re.compile(pattern))

    def tab(self) -> Page:
        """Another tab, in front."""
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complain(f"uncaught: {error}"))
        page.on("request", self._asked)
        self.page = page
        return page

    def visit(self, path: str) -> None:
        """Open an address of the page."""
        self.page.goto(self.url + path)

    def send(self, text: str) -> None:
        """Write a message and press Enter."""
        self.composer.fill(text)
        self.composer.press("Enter")

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def answers(self) -> Locator:
        return self.page.get_by_role("article", name="Answer")

    @property
    def answer(self) -> Locator:
        """The newest answer."""
        return self.answers.last

    @property
    def thread(self) -> str:
        """The id of the thread that is open."""
        found = re.search(r"/t/(thr_\w+)", self.page.url)
        assert found, self.page.url
        return found[1]

    def sees(self, text: str) -> None:
        """Waits until the newest answer contains the text."""
        expect(self.answer.locator(".body")).to_contain_text(text, timeout=PATIENCE)

    def ended(self, status: str = "complete") -> str:
        """Waits for the newest answer's end; its text."""
        expect(self.answer).to_have_attribute("data-status", status, timeout=PATIENCE)
        return self.text()

    def text(self) -> str:
        """The newest answer's text as it is shown."""
        return flat(self.answer.locator(".body").inner_text())

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self._complain(f"request to another address: {request.url}")

    def _complain(self, what: str) -> None:
        if not any(pattern.search(what) for pattern in self._expected):
            self.complaints.append(what)
