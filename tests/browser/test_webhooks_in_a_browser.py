"""Webhooks in the console: what was given up is seen, and sent again."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.test_accessibility import check
from tests.browser.test_console import enter, go


class Receiver(ThreadingHTTPServer):
    """Answers webhooks with `status`."""

    status = 410


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Receiver(("127.0.0.1", 0), Answer)
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
            "url": f"http://127.0.0.1:{receiver.server_port}/hook",
            "events": ["thread.created"],
            "description": "Billing",
        },
        headers={"origin": person.url},
    )
    assert made.status == 201, made.text()
    hook = made.json()["id"]

    def happen() -> None:
        thread = page.request.post(f"{person.url}/v1/threads", data={}, headers={"origin": person.url})
        assert thread.status == 201, thread.text()

    deliveries = page.locator("tr[data-delivery]")
    send_all = page.get_by_role("button", name="Send all again")
    happen()
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
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

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
    happen()
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
