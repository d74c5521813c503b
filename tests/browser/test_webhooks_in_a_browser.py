"""Webhooks in the console: made, changed, rotated and deleted; what was given up is seen, and sent again."""

import json
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from contracts.webhooks import EVENT_TYPES
from playwright.sync_api import Locator, Page, expect
from standardwebhooks import Webhook as Verifier

from tests.browser.conftest import OpenPage
from tests.browser.person import PATIENCE, Person
from tests.browser.test_accessibility import check, focused
from tests.browser.test_console import enter, go

WHOLE = """[document.documentElement, ...document.querySelectorAll("dialog[open]")]
  .every((part) => part.scrollWidth <= Math.min(part.clientWidth, innerWidth))"""


@dataclass(frozen=True, slots=True)
class Heard:
    """One request that came to the receiver."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def signatures(self) -> list[str]:
        return self.headers["webhook-signature"].split()


class Receiver(ThreadingHTTPServer):
    """Answers webhooks with `status`, and keeps what came."""

    status = 410

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.heard: queue.Queue[Heard] = queue.Queue()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def hears(self, thread: str) -> Heard:
        """What it is told next of a thread: also of others it may hear, and more than once."""
        while True:
            heard = self.heard.get(timeout=PATIENCE / 1000)
            if json.loads(heard.body)["data"]["thread_id"] == thread:
                return heard


def happen(person: Person) -> str:
    """Something that webhooks are told, `thread.created`; the thread's id."""
    made = person.page.request.post(f"{person.url}/v1/threads", data={}, headers={"origin": person.url})
    assert made.status == 201, made.text()
    thread: str = made.json()["id"]
    return thread


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.heard.put(Heard(self.path, headers, body))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Receiver(Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_webhook_was_not_told_is_sent_again(open_page: OpenPage, receiver: Receiver) -> None:
    person = open_page(width=390, height=800)
    enter(person)
    page = person.page
    made = page.request.post(
        f"{person.url}/v1/webhooks",
        data={
            "url": receiver.address("/hook"),
            "events": ["thread.created"],
            "description": "Billing",
        },
        headers={"origin": person.url},
    )
    assert made.status == 201, made.text()
    hook = made.json()["id"]

    deliveries = page.locator("tr[data-delivery]")
    send_all = page.get_by_role("button", name="Send all again")
    happen(person)
    go(person, "Webhooks")
    row = page.locator(f"tr[data-webhook={hook}]")
    expect(row).to_contain_text("paused")
    expect(row).to_contain_text("The receiver answered 410, gone for good")
    page.get_by_role("button", name="Read again").click()
    expect(row.locator(".number").last).to_have_text("1")
    check(page, "the webhooks")
    row.get_by_role("link", name="Billing").click()
    expect(page.get_by_role("status").filter(has_text="Paused. The receiver answered 410")).to_be_visible()
    expect(deliveries).to_have_count(1)
    expect(deliveries).to_contain_text("thread.created")
    # Nothing would be sent, so nothing is offered but to enable it.
    for button in (send_all, deliveries.get_by_role("button")):
        expect(button).to_be_disabled()
    check(page, "a webhook that is paused")
    assert page.evaluate(WHOLE)

    def enable() -> None:
        page.get_by_role("button", name="Enable").click()
        page.get_by_role("dialog", name="Enable this webhook?").get_by_role("button", name="Enable").click()
        expect(page.locator(".figures-row")).to_contain_text("enabled")

    # All: still gone, it is paused again; there again, it is delivered.
    dialog = page.get_by_role("dialog", name="Send all dead deliveries again?")
    enable()
    send_all.click()
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog).to_have_count(0)
    send_all.click()
    dialog.get_by_role("button", name="Send again").click()
    expect(page.locator(".toast")).to_have_text("1 is sent again.")
    expect(page.get_by_role("status").filter(has_text="Paused.")).to_be_visible()
    receiver.status = 204
    enable()
    send_all.click()
    dialog.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("No delivery was given up.")).to_be_visible()
    expect(send_all).to_be_disabled()
    page.get_by_label("Deliveries").and_(page.get_by_role("combobox")).select_option("delivered")
    expect(deliveries).to_have_count(1)

    # One of them.
    receiver.status = 410
    happen(person)
    page.get_by_label("Deliveries").and_(page.get_by_role("combobox")).select_option("dead")
    expect(page.get_by_role("status").filter(has_text="Paused.")).to_be_visible()
    expect(deliveries).to_have_count(1)
    receiver.status = 204
    enable()
    deliveries.get_by_role("button", name=re.compile("^Send fct_.* again$")).click()
    expect(page.locator(".toast")).to_have_text("1 is sent again.")
    expect(deliveries).to_have_count(0)
    removed = page.request.delete(f"{person.url}/v1/webhooks/{hook}", headers={"origin": person.url})
    assert removed.status == 204


def secret_of(page: Page) -> str:
    """The secret that is shown, once it is all there; dismissed, and then nowhere in the page."""
    shown = page.get_by_role("region", name=re.compile("^The (new )?secret$"))
    expect(shown).to_be_focused()
    expect(shown).to_contain_text("it will not be shown again")
    secret = shown.locator("code").inner_text()
    assert secret.startswith("whsec_")
    check(page, "a secret")
    assert page.evaluate(WHOLE)
    shown.get_by_role("button", name="Copy the secret").click()
    expect(shown.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    shown.get_by_role("button", name="I have it").click()
    expect(shown).to_have_count(0)
    assert secret not in page.content()
    assert secret not in page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    return secret


def test_a_webhook_is_made_changed_rotated_and_deleted(open_page: OpenPage, receiver: Receiver) -> None:
    receiver.status = 204
    person = open_page(width=320, height=700, permissions=["clipboard-read", "clipboard-write"])
    # What is refused on purpose, and a reading that was under way when its webhook was deleted.
    person.expects(r"status of (422|404)")
    enter(person)
    page = person.page
    go(person, "Webhooks")

    # Made by the keyboard, after the server has said what is wrong with the address.
    form = page.get_by_role("form", name="New webhook")
    url = form.get_by_role("textbox", name="Address")
    expect(page.get_by_role("table", name="Webhooks")).to_be_visible()
    page.get_by_role("button", name="New webhook").press("Enter")
    expect(url).to_be_focused()
    boxes = form.get_by_role("group", name="Events").get_by_role("checkbox")
    assert boxes.evaluate_all("all => all.map((box) => box.parentElement.textContent)") == list(EVENT_TYPES)
    url.fill("ftp://receiver.example")
    form.get_by_role("textbox", name="What it is for").fill("Invoices")
    url.press("Enter")
    expect(form.get_by_role("alert")).to_have_text("Choose at least one event.")
    expect(boxes.first).to_be_focused()
    check(page, "a new webhook without events")
    form.get_by_role("checkbox", name="thread.created").press("Space")
    form.get_by_role("checkbox", name="run.failed").press("Space")
    form.get_by_role("button", name="Create").press("Enter")
    expect(form.get_by_role("alert")).to_contain_text("The url is refused: it must be a whole https:// address")
    expect(url).to_be_focused()
    expect(url).to_have_attribute("aria-invalid", "true")
    check(page, "a new webhook that is refused")
    assert page.evaluate(WHOLE)
    # What was written outlives a reload.
    page.reload()
    expect(url).to_have_value("ftp://receiver.example")
    expect(form.get_by_role("checkbox", checked=True)).to_have_count(3)
    url.fill(receiver.address("/one"))
    url.press("Enter")
    first = secret_of(page)
    hook = page.url.rpartition("/")[2]
    facts = page.locator(".figures-row")
    expect(facts).to_contain_text("Invoices")
    expect(facts).to_contain_text("thread.created, run.failed")

    # An event comes, signed with what was shown.
    heard = receiver.hears(happen(person))
    assert heard.path == "/one"
    assert len(heard.signatures) == 1
    assert Verifier(first).verify(heard.body, heard.headers)["type"] == "thread.created"

    # Rotated: signed with both, and the old one's end is told.
    page.get_by_role("button", name="Rotate secret").press("Enter")
    dialog = page.get_by_role("dialog", name="Rotate its secret?")
    expect(dialog.get_by_role("combobox", name="Overlap")).to_have_value("86400")
    check(page, "the question before a secret is rotated")
    assert page.evaluate(WHOLE)
    dialog.get_by_role("combobox", name="Overlap").select_option("an hour")
    dialog.get_by_role("button", name="Rotate").click()
    expect(page.get_by_role("region", name="The new secret")).to_contain_text("the old one signs as well")
    second = secret_of(page)
    assert second != first
    expect(facts).to_contain_text(f"…{second[-4:]}")
    expect(facts).to_contain_text(f"…{first[-4:]} until")
    heard = receiver.hears(happen(person))
    assert len(heard.signatures) == 2
    for secret in (first, second):
        Verifier(secret).verify(heard.body, heard.headers)

    # Without an overlap, only the new one signs.
    page.get_by_role("button", name="Rotate secret").click()
    dialog.get_by_role("combobox", name="Overlap").select_option("0")
    dialog.get_by_role("button", name="Rotate").click()
    third = secret_of(page)
    heard = receiver.hears(happen(person))
    assert len(heard.signatures) == 1
    Verifier(third).verify(heard.body, heard.headers)

    _change(person, receiver, hook)
    _delete(person, hook)


def _change(person: Person, receiver: Receiver, hook: str) -> None:
    """Edited while the server is away, and while somebody else changes another field; disabled and enabled."""
    page = person.page
    person.expects("503")
    form = page.get_by_role("form", name="Edit the webhook")
    facts = page.locator(".figures-row")
    edit = page.get_by_role("button", name="Edit")
    edit.press("Enter")
    expect(form.get_by_role("textbox", name="Address")).to_have_value(receiver.address("/one"))
    check(page, "a webhook that is edited")
    assert page.evaluate(WHOLE)
    form.get_by_role("textbox", name="Address").fill(receiver.address("/two"))
    form.get_by_role("checkbox", name="run.failed").uncheck()
    away = f"**/v1/webhooks/{hook}"
    page.route(away, lambda route: route.fulfill(status=503) if route.request.method == "PATCH" else route.continue_())
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("It was not saved.")
    page.unroute(away)
    changed = page.request.patch(
        f"{person.url}/v1/webhooks/{hook}", data={"description": "Books"}, headers={"origin": person.url}
    )
    assert changed.status == 200, changed.text()
    expect(form.get_by_role("textbox", name="What it is for")).to_have_value("Books")
    expect(form.get_by_role("textbox", name="Address")).to_have_value(receiver.address("/two"))
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    expect(edit).to_be_focused()
    expect(facts).to_contain_text("Books")
    expect(facts).to_contain_text(receiver.address("/two"))
    expect(facts).not_to_contain_text("run.failed")

    def ask(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("dialog", name=f"{name} this webhook?").get_by_role("button", name=name).click()

    ask("Disable")
    expect(page.get_by_role("status").filter(has_text="Disabled by an administrator.")).to_be_visible()
    ask("Enable")
    expect(facts).to_contain_text("enabled")
    assert receiver.hears(happen(person)).path == "/two"


def _delete(person: Person, hook: str) -> None:
    """Asked first, with what is lost; then it is gone from the list."""
    page = person.page
    page.get_by_role("button", name="Delete").click()
    dialog: Locator = page.get_by_role("dialog", name="Delete this webhook?")
    expect(dialog).to_contain_text("queued for it")
    expect(dialog).to_contain_text("This cannot be undone.")
    check(page, "the question before a webhook is deleted")
    assert page.evaluate(WHOLE)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1, name="Webhooks")).to_be_focused()
    assert focused(page) == "Webhooks"
    expect(page.get_by_role("table", name="Webhooks")).to_be_visible()
    expect(page.locator(f"tr[data-webhook={hook}]")).to_have_count(0)
    assert page.request.get(f"{person.url}/v1/webhooks/{hook}").status == 404
