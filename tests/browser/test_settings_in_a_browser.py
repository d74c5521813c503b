"""Settings: notifications from the fact to what the browser shows, documents, and the budget."""

import json
import queue
import time
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Locator, expect

from tests.browser.conftest import OpenPage
from tests.browser.person import Person, flat
from tests.browser.push_service import PushServer
from tests.mesh import Mesh
from tests.upstream import expected_text

SHOWN = """async () => (await (await navigator.serviceWorker.ready).getNotifications())
  .map((one) => [one.title, one.body, one.tag])"""

COUNT_PUSHES = """() => {
  const wait = ExtendableEvent.prototype.waitUntil;
  self.handled = 0;
  ExtendableEvent.prototype.waitUntil = function (work) {
    wait.call(this, work);
    work.finally(() => { self.handled += 1; });
  };
}"""
"""For the page's worker: how many of the events given to it are done with."""


def settings_of(person: Person, section: str) -> Locator:
    """A section of the settings."""
    expect(person.composer).to_be_visible()
    person.page.keyboard.press("Control+,")
    dialog = person.page.get_by_role("dialog", name="Settings")
    return dialog.locator("section").filter(has=person.page.get_by_role("heading", name=section))


def test_a_browser_is_told_when_nobody_looks_and_no_more_after_that(open_page: OpenPage) -> None:
    with PushServer() as service:
        person = open_page()
        person.context.grant_permissions(["notifications"], origin=person.url)
        person.context.add_init_script(service.script)
        page = person.page
        page.reload()
        browser = person.context.new_cdp_session(page)
        workers: dict[str, str] = {}
        browser.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: workers.update({one["scopeURL"]: one["registrationId"] for one in event["registrations"]}),
        )
        browser.send("ServiceWorker.enable")
        section = settings_of(person, "Notifications")
        section.get_by_role("checkbox").check()
        section.get_by_role("button", name="Notify me", exact=True).click()
        expect(section).to_contain_text("On in this browser.")
        page.keyboard.press("Escape")
        page.reload()
        expect(settings_of(person, "Notifications")).to_contain_text("On in this browser.")
        page.keyboard.press("Escape")

        def send() -> None:
            made = person.context.request.post(f"{person.url}/v1/threads", headers={"origin": person.url})
            thread = made.json()["id"]
            path = f"{person.url}/v1/threads/{thread}/messages"
            data = {"content": "tokens=5 seed=91"}
            assert person.context.request.post(path, data=data, headers={"origin": person.url}).status == 202

        (worker,) = person.context.service_workers
        worker.evaluate(COUNT_PUSHES)

        def push(told: dict[str, Any]) -> None:
            (registration,) = workers.values()
            message = {"origin": person.url, "registrationId": registration, "data": json.dumps(told)}
            before = worker.evaluate("self.handled")
            browser.send("ServiceWorker.deliverPushMessage", message)
            # Chromium forgets a notification that it is asked for while it puts it up, so it is asked when all is done.
            deadline = time.monotonic() + 30
            while worker.evaluate("self.handled") == before:
                assert time.monotonic() < deadline, "the worker did not end what it does with a push"
                page.wait_for_timeout(20)

        send()
        told = service.told.get(timeout=30)
        text = flat(expected_text("tokens=5 seed=91"))
        assert (told["type"], flat(told["text"])) == ("run.completed", text)
        push(told)
        assert page.evaluate(SHOWN) == [["An answer is there", told["text"], told["thread_id"]]]
        # One for each thread, whatever came last.
        push({**told, "type": "run.waiting", "text": "Which one?"})
        assert page.evaluate(SHOWN) == [["An answer waits for you", "Which one?", told["thread_id"]]]
        # Whoever looks at the thread is not told of it.
        other = {**told, "thread_id": "thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"}
        person.visit(f"/t/{told['thread_id']}")
        person.ended()
        push({**told, "text": "seen"})
        push({**other, "text": "not seen"})
        assert sorted(body for _, body, _ in page.evaluate(SHOWN)) == ["Which one?", "not seen"]

        section = settings_of(person, "Notifications")
        section.get_by_role("button", name="Notify me no more").click()
        expect(section.get_by_role("button", name="Notify me", exact=True)).to_be_visible()
        assert person.context.request.get(f"{person.url}/v1/me/push").json()["items"] == []
        send()
        with pytest.raises(queue.Empty):
            service.told.get(timeout=1)


def test_documents_are_read_and_deleted(open_page: OpenPage) -> None:
    person = open_page(width=320, height=700)
    section = settings_of(person, "Documents")
    expect(section).to_contain_text("None yet")
    tide = "# Tides\n\nThe moon pulls the sea.\n\n# Harbours\n\nA harbour keeps ships."
    files: list[FilePayload] = [
        {"name": "tides.md", "mimeType": "text/markdown", "buffer": tide.encode()},
        {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 not a document"},
    ]
    section.locator("input[type=file]").set_input_files(files)
    rows = section.get_by_role("listitem")
    expect(rows.filter(has_text="tides.md")).to_contain_text("passages", timeout=60_000)
    expect(rows.filter(has_text="broken.pdf").locator("small")).not_to_contain_text("waiting", timeout=60_000)
    expect(rows.filter(has_text="broken.pdf").locator("small")).not_to_be_empty()
    assert person.page.evaluate("document.querySelector('dialog').scrollWidth") <= 320
    for name in ("tides.md", "broken.pdf"):
        section.get_by_role("button", name=f"Delete {name}").click()
    expect(section).to_contain_text("None yet")


def test_a_budget_is_shown_and_its_end_is_said(open_page: OpenPage, session_mesh: Mesh) -> None:
    person = open_page()
    expect(person.composer).to_be_visible()
    request = person.context.request
    me = request.get(f"{person.url}/v1/me").json()["id"]
    path, admin = f"{person.url}/v1/admin/budgets", {"authorization": f"Bearer {session_mesh.token('root', 'admin')}"}

    def limit(users: dict[str, int]) -> None:
        etag = request.get(path, headers=admin).headers["etag"]
        headers = {**admin, "if-match": etag}
        changed = request.put(f"{path}?why=test", data={"users": users}, headers=headers)
        assert changed.status == 200, changed.text()

    section = settings_of(person, "Use and budget")
    expect(section).to_contain_text("Calls of models")
    expect(section.get_by_role("progressbar")).to_have_count(0)
    person.page.keyboard.press("Escape")
    limit({me: 60})
    try:
        person.send("tokens=2000 rate=400 seed=92")
        failure = person.page.get_by_role("alert").filter(has_text="The answer failed")
        expect(failure).to_contain_text("budget_reached")
        expect(failure).to_contain_text("Settings show when it begins anew")
        section = settings_of(person, "Use and budget")
        expect(section.get_by_role("progressbar", name="Of today's budget")).to_be_visible()
        expect(section).to_contain_text("of $0.000060 today; anew ")
    finally:
        limit({})
